package terraform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-version"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/schema"
)

// probeTimeout is how long a program may take to say its version.
const probeTimeout = 30 * time.Second

// NotFound says that there is no engine. Its text tells how to get one.
type NotFound struct {
	// Looked are the folders that were looked in.
	Looked []string
	// Broken are programs that were found and did not work.
	Broken []error
}

// Error tells where was looked, and what to do.
func (e *NotFound) Error() string {
	var b strings.Builder
	b.WriteString("neither terraform nor tofu was found")
	if len(e.Looked) > 0 {
		b.WriteString(" in " + strings.Join(e.Looked, ", "))
	}
	for _, err := range e.Broken {
		fmt.Fprintf(&b, "\n%v", err)
	}
	b.WriteString("\ninstall OpenTofu (https://opentofu.org/docs/intro/install) or Terraform (https://developer.hashicorp.com/terraform/install), " +
		"or name the program in the configuration")
	return b.String()
}

// FindOptions say where engines may be.
type FindOptions struct {
	// TerraformPath and OpenTofuPath name the programs: absolute paths. Then
	// nothing is searched for that engine, and a program that does not work is
	// an error.
	TerraformPath, OpenTofuPath string
	// Dirs are folders that come before Path.
	Dirs []string
	// Path is a list of folders as in the PATH variable. Relative folders in it
	// are passed over: what runs must not depend on where the daemon was started.
	Path string
	// Env is the environment in which a program is asked for its version; nil
	// means Path alone.
	Env map[string]string
	// CacheFile remembers the versions of programs that did not change; "" keeps
	// them in memory only.
	CacheFile string
}

// Finder finds engine programs and remembers their versions: asking costs a
// process. It may be used concurrently.
type Finder struct {
	mu    sync.Mutex
	known map[string]probed // by resolved path
	file  string
}

// probed is what is known of a program, as long as its file stays the same.
type probed struct {
	Size    int64     `json:"size"`
	ModTime time.Time `json:"modTime"`
	Version string    `json:"version"`
}

// NewFinder returns a finder that remembers in cacheFile; "" for memory only.
func NewFinder(cacheFile string) *Finder {
	f := &Finder{known: map[string]probed{}, file: cacheFile}
	if cacheFile != "" {
		// A cache that cannot be read is an empty one.
		if b, err := os.ReadFile(cacheFile); err == nil && json.Unmarshal(b, &f.known) != nil {
			f.known = map[string]probed{}
		}
	}
	return f
}

// Find is NewFinder(o.CacheFile).Find(ctx, o).
func Find(ctx context.Context, o FindOptions) ([]engine.Program, error) {
	return NewFinder(o.CacheFile).Find(ctx, o)
}

// Find returns the engines that are there, at most one Terraform and one OpenTofu,
// in this order. The error is *NotFound when there is none.
func (f *Finder) Find(ctx context.Context, o FindOptions) ([]engine.Program, error) {
	dirs := searched(o)
	env := o.Env
	if env == nil {
		env = map[string]string{"PATH": o.Path}
	}
	var found []engine.Program
	missing := &NotFound{Looked: dirs}
	for _, want := range []struct {
		provisioner schema.Provisioner
		path, name  string
	}{
		{schema.Terraform, o.TerraformPath, "terraform"},
		{schema.OpenTofu, o.OpenTofuPath, "tofu"},
	} {
		candidates := []string{want.path}
		switch {
		case want.path == "":
			candidates = candidates[:0]
			for _, dir := range dirs {
				candidates = append(candidates, filepath.Join(dir, want.name))
			}
		case !filepath.IsAbs(want.path):
			return nil, fmt.Errorf("the path of %s must be absolute, not %q", want.name, want.path)
		}
		for _, path := range candidates {
			if want.path == "" && !isProgram(path) {
				continue
			}
			v, err := f.version(ctx, path, env)
			if err == nil {
				found = append(found, engine.Program{Provisioner: want.provisioner, Path: path, Version: v})
				break
			}
			if want.path != "" || ctx.Err() != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			missing.Broken = append(missing.Broken, fmt.Errorf("%s: %w", path, err))
		}
	}
	if len(found) == 0 {
		return nil, missing
	}
	return found, nil
}

func searched(o FindOptions) []string {
	var dirs []string
	for _, dir := range append(slices.Clone(o.Dirs), filepath.SplitList(o.Path)...) {
		if filepath.IsAbs(dir) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func isProgram(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// version is the version of a program, asked once for as long as its file stays
// the same.
func (f *Finder) version(ctx context.Context, path string, env map[string]string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	st, err := os.Stat(real)
	if err != nil {
		return "", err
	}
	if !isProgram(real) {
		return "", errors.New("it is not a program")
	}
	if k, ok := f.known[real]; ok && k.Size == st.Size() && k.ModTime.Equal(st.ModTime()) {
		return k.Version, nil
	}
	v, err := ask(ctx, path, env)
	if err != nil || isSwitcher(path, real) {
		return v, err
	}
	f.known[real] = probed{Size: st.Size(), ModTime: st.ModTime(), Version: v}
	f.remember()
	return v, nil
}

// remember writes the cache. That it cannot be written costs a process next time
// and is nobody's concern.
func (f *Finder) remember() {
	if f.file == "" {
		return
	}
	b, err := json.Marshal(f.known)
	if err != nil || os.MkdirAll(filepath.Dir(f.file), 0o700) != nil {
		return
	}
	_ = writeFile(f.file, b)
}

// isSwitcher tells whether a program only stands for others, as version switchers
// do: a script, or a link to something of another name. What it runs changes
// while its file does not.
func isSwitcher(path, real string) bool {
	if !strings.HasPrefix(filepath.Base(real), filepath.Base(path)) {
		return true
	}
	file, err := os.Open(real)
	if err != nil {
		return true
	}
	defer file.Close()
	head := make([]byte, 2)
	_, err = file.Read(head)
	return err != nil || string(head) == "#!"
}

// ask runs `version -json`.
func ask(ctx context.Context, path string, env map[string]string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "version", "-json")
	cmd.Dir = os.TempDir() // no module's lock file there
	cmd.WaitDelay = time.Second
	cmd.Env = []string{"CHECKPOINT_DISABLE=1"}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, k+"="+env[k])
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("it did not say its version: %w", ctx.Err())
		}
		return "", fmt.Errorf("it did not say its version: %w: %s", err, strings.TrimSpace(said.String()))
	}
	// A warning about the CLI's configuration may stand before it.
	answer := out.Bytes()[max(0, bytes.IndexByte(out.Bytes(), '{')):]
	var v struct {
		Version string `json:"terraform_version"`
	}
	if err := json.Unmarshal(answer, &v); err != nil || v.Version == "" {
		return "", errors.New("it did not say its version: is it an engine?")
	}
	if _, err := version.NewVersion(v.Version); err != nil {
		return "", fmt.Errorf("its version: %w", err)
	}
	return v.Version, nil
}
