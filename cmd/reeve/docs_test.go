package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler/command"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// called finds what a text tells its readers to type: lines of code blocks and
// pieces of code in a sentence.
var (
	fence  = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```")
	inline = regexp.MustCompile("`([^`\n]+)`")
	target = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
)

// documents are the texts for people.
func documents(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, found...)
	}
	if len(out) < 6 {
		t.Fatalf("only %v were found", out)
	}
	return out
}

// commands lists what a text says to type that begins with one of the programs,
// without the program's name.
func commands(text string, programs ...string) [][]string {
	var lines []string
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		lines = append(lines, strings.Split(m[1], "\n")...)
	}
	for _, m := range inline.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		lines = append(lines, m[1])
	}
	var out [][]string
	for _, l := range lines {
		l, _, _ = strings.Cut(l, " #")
		l, _, _ = strings.Cut(l, " | ")
		words := strings.Fields(l)
		if len(words) > 1 && slices.Contains(programs, words[0]) {
			out = append(out, words[1:])
		}
	}
	return out
}

// TestEveryCommandInTheDocumentsExists keeps the documents true: each command is
// there, with its flags and as many arguments as it takes.
func TestEveryCommandInTheDocumentsExists(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, file := range documents(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, words := range commands(string(b), "reeve", "bin/reeve") {
			for _, call := range alternatives(words) {
				seen++
				if err := understood(call); err != nil && !isComment(call) {
					t.Errorf("%s: reeve %s: %v", file, strings.Join(call, " "), err)
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d commands were found: the search is broken", seen)
	}
}

// alternatives takes "approve\|reject JOB" apart, and drops what is optional.
func alternatives(words []string) [][]string {
	var plain []string
	for _, w := range words {
		w = strings.TrimRight(w, ",.;:")
		if w == "…" || strings.HasPrefix(w, "[") || w == ">" {
			break
		}
		plain = append(plain, w)
	}
	out := [][]string{nil}
	for _, w := range plain {
		var next [][]string
		for _, v := range strings.Split(strings.ReplaceAll(w, `\|`, "|"), "|") {
			for _, before := range out {
				next = append(next, append(slices.Clone(before), v))
			}
		}
		out = next
	}
	return out
}

// isComment tells whether the words are a command that people write in a pull request;
// named in a sentence, it may lack what it is about.
func isComment(words []string) bool {
	list := command.Parse("reeve " + strings.Join(words, " "))
	if len(list) == 1 && list[0].Problem == "" {
		return true
	}
	return slices.Contains(command.Verbs(), command.Verb(words[0])) && len(words) == 2 && strings.HasPrefix(words[1], "--")
}

// understood tells whether the command line takes the words, without doing what
// they say.
func understood(words []string) error {
	root := newRoot(streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}, nil)
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return fmt.Errorf("%q is not one of its commands", cmd.Flags().Arg(0))
	}
	if cmd.Flags().NArg() == 0 {
		return nil // named in a sentence, without what it is about
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

func TestEveryMakeTargetInTheDocumentsExists(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, m := range target.FindAllStringSubmatch(string(makefile), -1) {
		targets = append(targets, m[1])
	}
	seen := 0
	for _, file := range documents(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, words := range commands(string(b), "make") {
			for _, w := range words {
				if strings.Contains(w, "=") || strings.HasPrefix(w, "'") {
					break // the variables of a call, and what stands in them
				}
				seen++
				if !slices.Contains(targets, w) {
					t.Errorf("%s: make %s: the Makefile has no target %q", file, strings.Join(words, " "), w)
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d targets were found: the search is broken", seen)
	}
}

// TestEveryConfigurationInTheDocumentsIsGood loads each reeve.yaml that people would copy.
func TestEveryConfigurationInTheDocumentsIsGood(t *testing.T) {
	t.Parallel()
	yaml := regexp.MustCompile("(?ms)^```yaml\n(repositories:\n.*?)^```")
	here := t.TempDir()
	secret := filepath.Join(here, "secret")
	if err := os.WriteFile(secret, []byte("a-secret-of-the-documents"), 0o600); err != nil {
		t.Fatal(err)
	}
	inFile := regexp.MustCompile(`file: /[^}]*`)
	seen := 0
	for _, file := range documents(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range yaml.FindAllStringSubmatch(string(b), -1) {
			seen++
			text := inFile.ReplaceAllString(m[1], "file: "+secret)
			_, found, err := config.Load(config.Options{Path: "reeve.yaml", Bytes: []byte(text), Environ: []string{"HOME=" + here,
				"GIT_TOKEN=a-secret-of-the-documents", "FORGE_TOKEN=a-secret-of-the-documents", "WEBHOOK_SECRET=a-secret-of-the-documents"}})
			if err != nil || len(found) > 0 {
				t.Errorf("%s: %v\n%s\n%s", file, err, diag.Text(found, diag.TextOptions{}), text)
			}
		}
	}
	if seen < 4 {
		t.Errorf("only %d configurations were found: the search is broken", seen)
	}
}

func TestWrongCallsAreNotUnderstood(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"nonsense", "get nonsense", "serve --nonsense", "approve a b", "context nonsense", "validate --path x"} {
		if understood(strings.Fields(call)) == nil {
			t.Errorf("reeve %s is understood", call)
		}
	}
}

// TestHelpOfEveryCommandIsWhole reads what a new user reads.
func TestHelpOfEveryCommandIsWhole(t *testing.T) {
	t.Parallel()
	root := newRoot(streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}, nil)
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		if cmd.Name() == "help" || strings.HasPrefix(cmd.CommandPath(), "reeve completion") {
			return // cobra's own
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || !strings.Contains("ABCDEFGHIJKLMNOPQRSTUVWXYZ", cmd.Short[:1]) && cmd != root {
			t.Errorf("%s: short text %q: expected a phrase with a capital and no full stop", cmd.CommandPath(), cmd.Short)
		}
		for _, example := range strings.Split(cmd.Example, "\n") {
			example, _, _ = strings.Cut(strings.TrimSpace(example), "   #")
			example, _, _ = strings.Cut(example, " | ")
			example, _, _ = strings.Cut(example, " > ")
			words := strings.Fields(example)
			if len(words) == 0 {
				continue
			}
			if words[0] != "reeve" {
				t.Errorf("%s: example %q: expected a call of reeve", cmd.CommandPath(), example)
				continue
			}
			if err := understood(words[1:]); err != nil {
				t.Errorf("%s: example %q: %v", cmd.CommandPath(), example, err)
			}
		}
	}
	walk(root)
}
