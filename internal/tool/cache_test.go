package tool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gofrs/flock"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

const greeter = `package main

import "fmt"

func main() { fmt.Println("hello") }
`

// greeterRecipe builds a program from a folder of this machine, so that a test
// of the cache needs no network. It returns the folder of its source.
func greeterRecipe(t *testing.T, source string) (Recipe, string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.com/greeter\n\ngo 1.26.0\n")
	write(t, filepath.Join(dir, "main.go"), source)
	return withLinkerFlags(Recipe{
		Name:  "greeter",
		Title: "greeter 1.0",
		Takes: "a moment",
		GoMod: fmt.Sprintf("module example.com/recipe\n\ngo 1.26.0\n\ntool example.com/greeter\n\n"+
			"require example.com/greeter v1.0.0\n\nreplace example.com/greeter => %s\n", dir),
		Makes: []string{"greeter"},
	}), dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func openCache(t *testing.T, folder string) (*Cache, *lockedBuffer) {
	t.Helper()
	progress := &lockedBuffer{}
	c, err := OpenCache(Options{Folder: folder, Progress: progress})
	if err != nil {
		t.Fatal(err)
	}
	return c, progress
}

// lockedBuffer takes lines from builds that run at the same time.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestCallersAtOnceBuildOnce(t *testing.T) {
	t.Parallel()
	r, _ := greeterRecipe(t, greeter)
	folder := filepath.Join(t.TempDir(), "made", "on", "demand")
	progress := &lockedBuffer{}
	homes := make([]string, 6)
	var g errgroup.Group
	for i := range homes {
		g.Go(func() (err error) {
			c, err := OpenCache(Options{Folder: folder, Progress: progress})
			if err != nil {
				return err
			}
			homes[i], err = c.Ensure(t.Context(), r)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	home := "greeter-" + r.Key()
	for _, got := range homes {
		if want := filepath.Join(folder, home); got != want {
			t.Errorf("folder is %s, want %s", got, want)
		}
	}
	if n := strings.Count(progress.String(), "building greeter 1.0 from source, a moment, once"); n != 1 {
		t.Errorf("built %d times:\n%s", n, progress)
	}
	if diff := cmp.Diff([]string{home, home + ".lock"}, names(t, folder)); diff != "" {
		t.Errorf("the cache holds something else (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"greeter"}, names(t, homes[0])); diff != "" {
		t.Errorf("the tool's folder holds something else (-want +got):\n%s", diff)
	}
	out, err := exec.Command(filepath.Join(homes[0], "greeter")).Output()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("the tool says %q, %v", out, err)
	}
}

func TestFailedBuildSaysWhatGoSaidAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	r, source := greeterRecipe(t, "package main\n\nfunc main() { undefinedName() }\n")
	c, _ := openCache(t, t.TempDir())
	_, err := c.Ensure(t.Context(), r)
	var failed *BuildError
	if !errors.As(err, &failed) {
		t.Fatalf("error is %v, want a BuildError", err)
	}
	for _, want := range []string{"greeter 1.0", "undefined: undefinedName"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
	if diff := cmp.Diff([]string{"greeter-" + r.Key() + ".lock"}, names(t, c.Folder())); diff != "" {
		t.Errorf("the failed build left something (-want +got):\n%s", diff)
	}
	write(t, filepath.Join(source, "main.go"), greeter)
	if _, err := c.Ensure(t.Context(), r); err != nil {
		t.Errorf("after mending the source: %v", err)
	}
}

func TestARecipesFilesAreBuiltInAndAModulesFoldersAreBrought(t *testing.T) {
	t.Parallel()
	r, source := greeterRecipe(t, strings.Replace(greeter, `import "fmt"`, "import (\n\t\"fmt\"\n\n\t_ \"example.com/shim\"\n)", 1))
	write(t, filepath.Join(source, "go.mod"), "module example.com/greeter\n\ngo 1.26.0\n\nrequire example.com/shim v1.0.0\n")
	write(t, filepath.Join(source, "templates", "deep", "page.tmpl"), "a page")
	write(t, filepath.Join(source, "letters", "a"), "not asked for")
	r.GoMod += "\nrequire example.com/shim v1.0.0\n\nreplace example.com/shim => ./shim\n"
	r.Files = map[string]string{
		"shim/go.mod":  "module example.com/shim\n\ngo 1.26.0\n",
		"shim/shim.go": "package shim\n\nimport \"fmt\"\n\nfunc init() { fmt.Print(\"shimmed \") }\n",
	}
	r.Brings = Folders{Module: "example.com/greeter", Names: []string{"templates"}}
	r.Makes = append(r.Makes, "templates/deep/page.tmpl")
	c, _ := openCache(t, t.TempDir())
	home, err := c.Ensure(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(home, "greeter")).Output(); err != nil || string(out) != "shimmed hello\n" {
		t.Errorf("the tool says %q, %v", out, err)
	}
	if diff := cmp.Diff([]string{"greeter", "templates"}, names(t, home)); diff != "" {
		t.Errorf("the tool's folder holds something else (-want +got):\n%s", diff)
	}
	if page, err := os.ReadFile(filepath.Join(home, "templates", "deep", "page.tmpl")); string(page) != "a page" {
		t.Errorf("the page is %q, %v", page, err)
	}
	if err := c.Remove(r); err != nil {
		t.Errorf("the folders that were brought cannot be removed: %v", err)
	}
}

func TestWhatAKilledBuildLeftIsReplaced(t *testing.T) {
	t.Parallel()
	r, _ := greeterRecipe(t, greeter)
	c, progress := openCache(t, t.TempDir())
	home := filepath.Join(c.Folder(), "greeter-"+r.Key())
	write(t, filepath.Join(home+".building", "greeter"), "half a program")
	write(t, filepath.Join(home, "README"), "a cleaner took the program away")
	got, err := c.Ensure(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(got, "greeter")).Output(); err != nil || string(out) != "hello\n" {
		t.Errorf("the tool says %q, %v", out, err)
	}
	if diff := cmp.Diff([]string{filepath.Base(home), filepath.Base(home) + ".lock"}, names(t, c.Folder())); diff != "" {
		t.Errorf("the cache holds something else (-want +got):\n%s", diff)
	}
	if !strings.Contains(progress.String(), "built greeter 1.0 in") {
		t.Errorf("progress does not tell of the build:\n%s", progress)
	}
}

func TestWaitingForAnotherBuilderEndsWithTheContext(t *testing.T) {
	t.Parallel()
	r, _ := greeterRecipe(t, greeter)
	c, _ := openCache(t, t.TempDir())
	other := flock.New(filepath.Join(c.Folder(), "greeter-"+r.Key()+".lock"))
	if ok, err := other.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	defer other.Close()
	ctx, cancel := context.WithCancel(t.Context())
	// The announcement that it waits is the sign that it does.
	c.progress = writerFunc(func(p []byte) {
		if strings.Contains(string(p), "waiting for it") {
			cancel()
		}
	})
	if _, err := c.Ensure(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
}

type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestCancelledBuildLeavesNothing(t *testing.T) {
	t.Parallel()
	r, _ := greeterRecipe(t, greeter)
	c, _ := openCache(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	c.progress = writerFunc(func(p []byte) {
		if strings.HasPrefix(string(p), "building ") {
			cancel()
		}
	})
	if _, err := c.Ensure(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
	if diff := cmp.Diff([]string{"greeter-" + r.Key() + ".lock"}, names(t, c.Folder())); diff != "" {
		t.Errorf("the cancelled build left something (-want +got):\n%s", diff)
	}
}

func TestWithoutGoTheErrorSaysHowToGetIt(t *testing.T) {
	t.Parallel()
	r, _ := greeterRecipe(t, greeter)
	c, err := OpenCache(Options{Folder: t.TempDir(), Go: "no-such-go-command"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Ensure(t.Context(), r)
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "https://go.dev/dl") {
		t.Errorf("error is %v", err)
	}
}

func TestRemoveTakesOnlyWhatRecipesMade(t *testing.T) {
	t.Parallel()
	r, _ := greeterRecipe(t, greeter)
	c, _ := openCache(t, t.TempDir())
	if _, err := c.Ensure(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(c.Folder(), "greeter-of-mine", "letter"), "keep")
	if err := c.Remove(r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"greeter-of-mine"}, names(t, c.Folder())); diff != "" {
		t.Errorf("after Remove (-want +got):\n%s", diff)
	}
}

func TestKeyChangesWithEveryInput(t *testing.T) {
	t.Parallel()
	r := Recipe{Name: "a", GoMod: "mod", GoSum: "sum", Flags: []string{"-x", "-y"}, Makes: []string{"a"}}
	others := map[string]func(*Recipe){
		"name":     func(r *Recipe) { r.Name = "b" },
		"go.mod":   func(r *Recipe) { r.GoMod = "mod2" },
		"go.sum":   func(r *Recipe) { r.GoSum = "sum2" },
		"flags":    func(r *Recipe) { r.Flags = []string{"-x", "-z"} },
		"boundary": func(r *Recipe) { r.GoMod, r.GoSum = "mods", "um" },
		"makes":    func(r *Recipe) { r.Makes = []string{"a", "b"} },
		"files":    func(r *Recipe) { r.Files = map[string]string{"f": "text"} },
		"brings":   func(r *Recipe) { r.Brings = Folders{Module: "m", Names: []string{"n"}} },
	}
	for name, change := range others {
		changed := r
		change(&changed)
		if changed.Key() == r.Key() {
			t.Errorf("%s: the key stays %s", name, r.Key())
		}
	}
	same := r
	same.Title, same.Takes = "Other words", "an hour"
	if same.Key() != r.Key() {
		t.Error("words for people change the key")
	}
}

func TestCacheFolderComesFromTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(CacheVariable, "")
	t.Setenv("XDG_CACHE_HOME", dir)
	t.Setenv("HOME", dir)
	user, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenCache(Options{})
	if err != nil || c.Folder() != filepath.Join(user, "stackreeve", "tools") {
		t.Errorf("default folder is %s, %v", c.Folder(), err)
	}
	t.Setenv(CacheVariable, filepath.Join(dir, "mine"))
	c, err = OpenCache(Options{})
	if err != nil || c.Folder() != filepath.Join(dir, "mine") {
		t.Errorf("folder is %s, %v", c.Folder(), err)
	}
}
