package tool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// CacheVariable is the environment variable that names the cache folder.
const CacheVariable = "REEVE_TOOL_CACHE"

// Options say where a Cache is and whom it tells what it does.
type Options struct {
	// Folder holds the built tools. Default: $REEVE_TOOL_CACHE, else
	// stackreeve/tools in the user's cache folder.
	Folder string
	// Progress gets a line when a build starts, every half minute of it, and
	// when it ends. Default: nobody.
	Progress io.Writer
	// Go is the Go command that builds. Default: "go" on PATH.
	Go string
}

// Cache keeps built tools in a folder. Any number of processes may use one.
type Cache struct {
	folder   string
	progress io.Writer
	goTool   string
}

// OpenCache finds the cache folder; it is made when something is built.
func OpenCache(o Options) (*Cache, error) {
	folder := cmp.Or(o.Folder, os.Getenv(CacheVariable))
	if folder == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find a folder for tools (set %s to name one): %w", CacheVariable, err)
		}
		folder = filepath.Join(user, "stackreeve", "tools")
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("find a folder for tools: %w", err)
	}
	c := &Cache{folder: folder, progress: o.Progress, goTool: cmp.Or(o.Go, "go")}
	if c.progress == nil {
		c.progress = io.Discard
	}
	return c, nil
}

// Folder is where the built tools are.
func (c *Cache) Folder() string { return c.folder }

// Remove deletes what was built by any version of the given recipes, and what
// interrupted builds of them left behind; nothing else that may be in the folder.
// It is meant for people: a test that runs meanwhile loses its tools.
func (c *Cache) Remove(recipes ...Recipe) error {
	for _, r := range recipes {
		found, err := filepath.Glob(filepath.Join(c.folder, r.Name+"-"+strings.Repeat("[0-9a-f]", keyLength)+"*"))
		if err != nil {
			return fmt.Errorf("remove %s: %w", r.Name, err)
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("remove %s: %w", r.Name, err)
			}
		}
	}
	return nil
}

// BuildError says that a recipe did not build. Output is all that the Go command
// said.
type BuildError struct {
	Title  string
	Output string
	Err    error
}

// Error holds the end of the output, which is where Go says what is wrong.
func (e *BuildError) Error() string {
	return fmt.Sprintf("build %s: %v\n%s", e.Title, e.Err, tail(e.Output, 30))
}

// Unwrap returns the cause.
func (e *BuildError) Unwrap() error { return e.Err }

// Built returns what Ensure returns, if that was built before.
func (c *Cache) Built(r Recipe) (folder string, ok bool) {
	folder = filepath.Join(c.folder, r.Name+"-"+r.Key())
	return folder, isComplete(folder, r)
}

// Ensure returns the absolute path of the folder that holds what r makes,
// building it unless that was done before. When several processes ask, one builds
// and the others wait. The error is a *BuildError when Go could not build it, or
// wraps ErrNotInstalled when there is no Go.
func (c *Cache) Ensure(ctx context.Context, r Recipe) (string, error) {
	home, ok := c.Built(r)
	if ok {
		return home, nil
	}
	if err := os.MkdirAll(c.folder, 0o755); err != nil {
		return "", fmt.Errorf("build %s: %w", r.Title, err)
	}
	lock := flock.New(home + ".lock")
	if err := c.lock(ctx, lock, r); err != nil {
		return "", fmt.Errorf("build %s: wait for %s: %w", r.Title, lock.Path(), err)
	}
	defer lock.Close() // the file stays: removing it would let two builders in
	if isComplete(home, r) {
		return home, nil // somebody built it while we waited
	}
	if err := c.build(ctx, r, home); err != nil {
		return "", err
	}
	return home, nil
}

func (c *Cache) lock(ctx context.Context, lock *flock.Flock, r Recipe) error {
	if ok, err := lock.TryLock(); ok || err != nil {
		return err
	}
	fmt.Fprintf(c.progress, "another process is building %s; waiting for it\n", r.Title)
	_, err := lock.TryLockContext(ctx, 200*time.Millisecond)
	return err
}

// build makes home under another name first, so that a folder with the right
// name is always whole. It runs under the lock.
func (c *Cache) build(ctx context.Context, r Recipe, home string) (err error) {
	goTool, err := exec.LookPath(c.goTool)
	if err != nil {
		return fmt.Errorf("build %s: it needs the Go toolchain (https://go.dev/dl), the %q command is %w", r.Title, c.goTool, ErrNotInstalled)
	}
	building := home + ".building"
	for _, stale := range []string{building, home} { // of a build that was killed, or emptied by a cleaner
		if err := os.RemoveAll(stale); err != nil {
			return fmt.Errorf("build %s: %w", r.Title, err)
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(building))
		}
	}()

	source := filepath.Join(building, "source")
	if err := writeModule(source, r); err != nil {
		return fmt.Errorf("build %s: %w", r.Title, err)
	}
	fmt.Fprintf(c.progress, "building %s from source, %s, once (into %s)\n", r.Title, r.Takes, home)
	started := time.Now()
	args := append([]string{"build", "-o", building + string(filepath.Separator)}, r.Flags...)
	if err := c.run(ctx, goTool, source, r, append(args, "tool")); err != nil {
		return err
	}
	if err := c.bring(ctx, goTool, source, building, r); err != nil {
		return err
	}
	if err := os.RemoveAll(source); err != nil {
		return fmt.Errorf("build %s: %w", r.Title, err)
	}
	if r.finish != nil {
		if err := r.finish(building, home); err != nil {
			return fmt.Errorf("build %s: %w", r.Title, err)
		}
	}
	if !isComplete(building, r) {
		return fmt.Errorf("build %s: go build ended well, but %s are not all there", r.Title, strings.Join(r.Makes, ", "))
	}
	if err := os.Rename(building, home); err != nil {
		return fmt.Errorf("build %s: %w", r.Title, err)
	}
	fmt.Fprintf(c.progress, "built %s in %s\n", r.Title, time.Since(started).Round(time.Second))
	return nil
}

// bring copies the folders of a module that the program needs when it runs. The
// module is where the build has just read it.
func (c *Cache) bring(ctx context.Context, goTool, source, building string, r Recipe) error {
	if len(r.Brings.Names) == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, goTool, "list", "-m", "-f", "{{.Dir}}", r.Brings.Module)
	cmd.Dir = source
	cmd.Env = buildEnv()
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("build %s: find the folder of %s: %w", r.Title, r.Brings.Module, err)
	}
	module := strings.TrimSpace(string(out))
	for _, name := range r.Brings.Names {
		if err := copyFolder(filepath.Join(module, name), filepath.Join(building, name)); err != nil {
			return fmt.Errorf("build %s: copy %s of %s: %w", r.Title, name, r.Brings.Module, err)
		}
	}
	return nil
}

// copyFolder copies regular files, and makes them ours to remove again: those of
// the module cache are read-only.
func copyFolder(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, below)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}

// run runs the Go command in the recipe's module. It tries twice: a module proxy
// that stumbles is common, and what was compiled is not compiled again.
func (c *Cache) run(ctx context.Context, goTool, dir string, r Recipe, args []string) error {
	var failed error
	for range 2 {
		output, err := c.runOnce(ctx, goTool, dir, r.Title, args)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("build %s: %w", r.Title, context.Cause(ctx))
		}
		failed = &BuildError{Title: r.Title, Output: output, Err: err}
	}
	return failed
}

func (c *Cache) runOnce(ctx context.Context, goTool, dir, title string, args []string) (string, error) {
	cmd := exec.CommandContext(ctx, goTool, args...)
	cmd.Dir = dir
	cmd.Env = buildEnv()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	// Interrupted, go ends its compilers and removes its work folder; killed, it leaves them.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return "", err
	}
	stop := c.tick(title)
	defer stop()
	err := cmd.Wait()
	return output.String(), err
}

func buildEnv() []string {
	return append(os.Environ(),
		"CGO_ENABLED=0", "GOWORK=off",
		"GOFLAGS=-mod=readonly", // ours alone, so that the key tells the truth
		"GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH,
	)
}

// tick says now and then that a long build still goes on, until stop returns.
func (c *Cache) tick(title string) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		started := time.Now()
		ticker := time.NewTicker(30 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				fmt.Fprintf(c.progress, "still building %s (%s)\n", title, time.Since(started).Round(time.Second))
			}
		}
	}()
	return func() { close(done); <-ended }
}

// Tidy runs "go mod tidy" over the recipe's module in a scratch folder and
// returns its files as they should be. It is how a version is raised.
func (c *Cache) Tidy(ctx context.Context, r Recipe) (goMod, goSum string, err error) {
	goTool, err := exec.LookPath(c.goTool)
	if err != nil {
		return "", "", fmt.Errorf("tidy %s: %w", r.Name, err)
	}
	dir, err := os.MkdirTemp("", "reeve-recipe-*")
	if err != nil {
		return "", "", fmt.Errorf("tidy %s: %w", r.Name, err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a scratch folder in the folder for scratch
	if err := writeModule(dir, r); err != nil {
		return "", "", fmt.Errorf("tidy %s: %w", r.Name, err)
	}
	if err := c.run(ctx, goTool, dir, r, []string{"mod", "tidy"}); err != nil {
		return "", "", err
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", "", fmt.Errorf("tidy %s: %w", r.Name, err)
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return "", "", fmt.Errorf("tidy %s: %w", r.Name, err)
	}
	return string(mod), string(sum), nil
}

func writeModule(dir string, r Recipe) error {
	files := map[string]string{"go.mod": r.GoMod, "go.sum": r.GoSum}
	maps.Copy(files, r.Files)
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func isComplete(folder string, r Recipe) bool {
	for _, made := range r.Makes {
		if _, err := os.Stat(filepath.Join(folder, filepath.FromSlash(made))); err != nil {
			return false
		}
	}
	return true
}

// tail returns the last n lines of s.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
