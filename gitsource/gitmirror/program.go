package gitmirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/remote"
)

// The first version of git that merges without a work tree (git merge-tree --write-tree).
const (
	oldestMajor = 2
	oldestMinor = 38
)

// ErrProgram is returned when there is no git program, or one that is too old to merge.
var ErrProgram = fmt.Errorf("merging needs the git program, version %d.%d or newer", oldestMajor, oldestMinor)

// Program is a git program that was found.
type Program struct {
	Path string
	// Version is as it says: "2.39.5".
	Version      string
	major, minor int
}

// FindProgram looks for git on PATH and asks its version. The error is an ErrProgram; with a
// git that is too old it comes beside the program.
func FindProgram(ctx context.Context) (Program, error) {
	path, err := exec.LookPath("git")
	if err != nil {
		return Program{}, fmt.Errorf("%w: there is none on PATH; install it", ErrProgram)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	said := &beginning{most: 1 << 10}
	cmd := exec.CommandContext(ctx, path, "version")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.WaitDelay = filepath.Dir(path), environment("", ""), said, time.Second
	if err := cmd.Run(); err != nil {
		if cause := ctx.Err(); cause != nil {
			err = cause
		}
		return Program{}, fmt.Errorf("%w: %s does not tell its version: %w", ErrProgram, path, err)
	}
	p := Program{Path: path}
	if words := strings.Fields(string(said.bytes)); len(words) > 2 {
		p.Version = words[2]
	}
	major, rest, _ := strings.Cut(p.Version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	var bad error
	if p.major, err = strconv.Atoi(major); err != nil {
		bad = err
	}
	if p.minor, err = strconv.Atoi(minor); err != nil {
		bad = err
	}
	if bad != nil {
		return Program{}, fmt.Errorf("%w: %s does not tell its version", ErrProgram, path)
	}
	if !p.merges() {
		return p, fmt.Errorf("%w: %s is %s; install a newer one, or put it before this one on PATH", ErrProgram, path, p.Version)
	}
	return p, nil
}

func (p Program) merges() bool {
	return p.major > oldestMajor || p.major == oldestMajor && p.minor >= oldestMinor
}

// environment is all that git is told of the world: no settings, attributes, hooks,
// replaced objects or credentials of the machine or of the one who runs us.
func environment(gitDir, home string) []string {
	env := []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=" + os.DevNull, "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_ATTR_NOSYSTEM=1", "GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1", "GIT_OPTIONAL_LOCKS=0",
		"GIT_TERMINAL_PROMPT=0", "LC_ALL=C", "HOME=" + home, "XDG_CONFIG_HOME=" + home,
	}
	if gitDir != "" {
		env = append(env, "GIT_DIR="+gitDir)
	}
	for _, name := range []string{"PATH", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// beginning keeps the first bytes of an output and drops the rest, so that the program
// neither fills our memory nor waits for us.
type beginning struct {
	bytes []byte
	most  int
	isCut bool
}

func (b *beginning) Write(p []byte) (int, error) {
	n := min(len(p), b.most-len(b.bytes))
	b.bytes = append(b.bytes, p[:n]...)
	b.isCut = b.isCut || n < len(p)
	return len(p), nil
}

// scratch is a bare repository in which git merges: it borrows the objects of others and
// writes its own beside them. So a merge that conflicts, fails or is killed leaves nothing in
// a mirror, and no setting, hook or attribute of a repository that we did not make
// is read.
type scratch struct {
	program Program
	dir     string
}

// newScratch makes one in a folder. lenders are Git folders.
func newScratch(in string, p Program, lenders []string) (*scratch, error) {
	if err := os.MkdirAll(in, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(in, "")
	if err != nil {
		return nil, err
	}
	s := &scratch{p, dir}
	if err := s.fill(lenders); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

func (s *scratch) fill(lenders []string) error {
	var objects, shallow strings.Builder
	for _, l := range lenders {
		if strings.Contains(l, "\n") {
			return fmt.Errorf("a folder's name may not hold a line break: %q", l)
		}
		objects.WriteString(filepath.Join(l, "objects") + "\n")
		raw, err := os.ReadFile(filepath.Join(l, shallowFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		shallow.Write(raw)
	}
	for _, d := range []string{"objects/info", "objects/pack", "refs"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
			return err
		}
	}
	files := map[string]string{
		"HEAD": "ref: refs/heads/none\n",
		// What counts is copied out and synced then.
		"config":                  "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tfsync = none\n\tlooseCompression = 0\n",
		"objects/info/alternates": objects.String(),
	}
	if shallow.Len() > 0 {
		files[shallowFile] = shallow.String()
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *scratch) remove() error { return os.RemoveAll(s.dir) }

// maxOutput bounds what is read of git's output: 40,000 paths of 100 characters.
const maxOutput = 4 << 20

// run runs git. The code is its exit status when that is one of those that are
// answers; else there is an error, with what git said.
func (s *scratch) run(ctx context.Context, answers int, args ...string) (out *beginning, code int, err error) {
	out = &beginning{most: maxOutput}
	var said remote.Voice
	cmd := exec.CommandContext(ctx, s.program.Path, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = s.dir, environment(s.dir, s.dir), 5*time.Second
	cmd.Stdout, cmd.Stderr = out, &said
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out, 0, nil
	case ctx.Err() != nil:
		return nil, 0, context.Cause(ctx)
	case errors.As(err, &exit) && exit.ExitCode() > 0 && exit.ExitCode() <= answers:
		return out, exit.ExitCode(), nil
	}
	if line := said.Line(); line != "" {
		return nil, 0, fmt.Errorf("git %s: %w: %s", args[0], err, line)
	}
	return nil, 0, fmt.Errorf("git %s: %w", args[0], err)
}
