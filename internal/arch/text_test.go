package arch

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// files lists the files of the tree: what Git tracks, or, where there is no Git
// repository (an unpacked archive), everything that is not hidden.
func files(t *testing.T) []string {
	t.Helper()
	const root = "../.."
	out, err := exec.Command("git", "-C", root, "ls-files", "-z").Output()
	if err == nil && len(out) > 0 {
		var paths []string
		for path := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
			paths = append(paths, filepath.Join(root, path))
		}
		return paths
	}
	var paths []string
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin"):
			return fs.SkipDir
		case d.Type().IsRegular():
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// The patterns are put together from halves, so that this file has none of them.
var (
	leftover    = regexp.MustCompile(`\b(` + "TO" + "DO|FIX" + "ME|XX" + "X|HA" + `CK)\b`)
	machinePath = regexp.MustCompile(`(?:^|[^\w./$~})-])/(?:` + "wo" + "rk|ro" + "ot|ho" + "me|Us" + `ers)/(\w+)`)
)

// People in examples, whose home folders are on no machine.
var people = []string{"ada", "git", "user"}

func isMachinePath(line []byte) bool {
	m := machinePath.FindSubmatch(line)
	return m != nil && !slices.Contains(people, string(m[1]))
}

// Lines in which one of the patterns is meant, by file, with the reason.
var meant = map[string]string{}

func TestFilesHoldNoLeftoversAndNoPathsOfOneMachine(t *testing.T) {
	t.Parallel()
	read := 0
	for _, path := range files(t) {
		name := strings.TrimPrefix(filepath.ToSlash(path), "../../")
		if strings.HasSuffix(name, "go.sum") || strings.HasSuffix(name, "go.sum.txt") || meant[name] != "" {
			continue // checksums are letters by chance
		}
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue // deleted and not yet committed, or a link
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if bytes.IndexByte(text, 0) >= 0 {
			continue // not text
		}
		read++
		for i, line := range bytes.Split(text, []byte("\n")) {
			if m := leftover.Find(line); m != nil {
				t.Errorf("%s:%d: %s: finish it, or write down in docs why it stays", name, i+1, m)
			}
			if isMachinePath(line) {
				t.Errorf("%s:%d: a path of one machine: %s", name, i+1, bytes.TrimSpace(line))
			}
		}
	}
	if read < 20 {
		t.Errorf("only %d files were read", read)
	}
}

func TestThePatternsFindWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"// TO" + "DO: later":           true,
		"mastodont":                     false,
		"see /ro" + "ot/x":              true,
		`"/ho` + `me/somebody/x"`:       true,
		"https://example.com/home/x":    false,
		"$HOME/x and /data/x":           false,
		"docs/work/x and ./work/x":      false,
		"{{.Folder}}/work/x":            false,
		"# FIX" + "ME":                  true,
		"path=/Us" + "ers/somebody/src": true,
	} {
		if got := leftover.MatchString(text) || isMachinePath([]byte(text)); got != want {
			t.Errorf("%q: found is %t, want %t", text, got, want)
		}
	}
}
