package schema_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/tool/goldentest"
	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

//go:generate go test . -count=1 -run TestManualShowsWhatTheLoaderSays -update

const manual = "../docs/diagnostics.md"

// section is a heading of the manual with the files of its example.
type section struct {
	name, prose string
	files       fstest.MapFS
	// from and to are the lines of the expected output, zero when there is none.
	from, to int
}

// readManual takes the manual apart. A code block's first line says its language and, for a
// file of the example, its path.
func readManual(t *testing.T) ([]string, []section) {
	t.Helper()
	raw, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(raw), "\n")
	var out []section
	for i := 0; i < len(lines); i++ {
		l := lines[i]
		if strings.HasPrefix(l, "## ") || strings.HasPrefix(l, "### ") {
			out = append(out, section{name: strings.TrimLeft(l, "# "), files: fstest.MapFS{}})
			continue
		}
		info, isBlock := strings.CutPrefix(l, "```")
		if len(out) == 0 {
			continue
		}
		s := &out[len(out)-1]
		if !isBlock {
			s.prose += l + "\n"
			continue
		}
		from := i + 1
		for i++; lines[i] != "```"; i++ {
		}
		content := strings.Join(lines[from:i], "\n") + "\n"
		lang, path, _ := strings.Cut(info, " ")
		switch lang {
		case "text":
			s.from, s.to = from, i
		case "link":
			s.files[path] = &fstest.MapFile{Data: []byte(strings.TrimSpace(content)), Mode: fs.ModeSymlink | 0o777}
		case "yaml-escaped":
			unquoted, err := strconv.Unquote(`"` + strings.TrimSpace(content) + `"`)
			if err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			s.files[path] = &fstest.MapFile{Data: []byte(unquoted)}
		default:
			s.files[path] = &fstest.MapFile{Data: []byte(content)}
		}
	}
	return lines, out
}

// noExample are codes whose example would be no text.
var noExample = map[diag.Code]bool{diag.FileTooLarge: true, diag.UnreadableFile: true, diag.MissingOrganization: true}

// TestManualShowsWhatTheLoaderSays loads every example of the manual.
func TestManualShowsWhatTheLoaderSays(t *testing.T) {
	lines, sections := readManual(t)
	var base fstest.MapFS
	byCode := map[diag.Code]section{}
	for _, s := range sections {
		if s.name == "The repository of the examples" {
			base = s.files
		}
		byCode[diag.Code(s.name)] = s
	}
	type edit struct {
		section
		text []string
	}
	var edits []edit
	for _, code := range diag.Codes() {
		s, ok := byCode[code]
		if !ok {
			t.Errorf("%s is not in the manual", code)
			continue
		}
		if !strings.Contains(s.prose, "*"+code.Summary()+"* (") {
			t.Errorf("%s: the manual does not give its summary %q", code, code.Summary())
		}
		if noExample[code] {
			continue
		}
		for p, f := range base {
			if s.files[p] == nil {
				s.files[p] = f
			}
		}
		tree, err := schema.LoadFS(context.Background(), s.files)
		if err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		got := diag.Text(tree.Diagnostics(), diag.TextOptions{})
		found := false
		for _, d := range tree.Diagnostics() {
			if d.Code == code {
				found = true
				if !strings.Contains(s.prose, fmt.Sprintf("* (%s)", d.Severity)) {
					t.Errorf("%s: the manual gives another severity than %s", code, d.Severity)
				}
			}
		}
		if !found {
			t.Errorf("%s: its example gives\n%s", code, got)
		}
		edits = append(edits, edit{s, strings.Split(strings.TrimSuffix(got, "\n"), "\n")})
		if want := strings.Join(lines[s.from:s.to], "\n") + "\n"; !goldentest.Updates() && want != got {
			t.Errorf("%s (-manual +loader):\n%s", code, cmp.Diff(want, got))
		}
	}
	if !goldentest.Updates() || t.Failed() {
		return
	}
	for i := range edits {
		// From the end, so that line numbers before stay right.
		last := 0
		for j := range edits {
			if edits[j].from > edits[last].from {
				last = j
			}
		}
		e := edits[last]
		lines = append(lines[:e.from:e.from], append(e.text, lines[e.to:]...)...)
		edits[last].from = -1 - i
	}
	if err := os.WriteFile(manual, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}
