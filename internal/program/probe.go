package program

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
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/hashicorp/go-version"

	"github.com/stackreeve/stackreeve/schema"
)

// probeTimeout is how long a program may take to say its version.
const probeTimeout = 30 * time.Second

// busyTries and busyPause bound how long a program is waited for that somebody still
// writes.
const (
	busyTries = 50
	busyPause = 20 * time.Millisecond
)

// doubtAfter is how long the answer of a program is believed that may answer something
// else while its file stays the same: a version switcher, or one that did not work.
const doubtAfter = time.Minute

// Finder finds programs and remembers their versions. It may be used concurrently.
type Finder struct {
	mu    sync.Mutex
	known map[string]probed // by resolved path
	// doubtful are the answers that are believed for doubtAfter only, by path as found.
	doubtful map[string]answer
	file     string
	now      func() time.Time
}

// probed is what is known of a program, as long as its file stays the same.
type probed struct {
	Size    int64     `json:"size"`
	ModTime time.Time `json:"modTime"`
	Inode   uint64    `json:"inode"`
	Version string    `json:"version"`
}

func (p probed) sameFile(o probed) bool {
	return p.Size == o.Size && p.ModTime.Equal(o.ModTime) && p.Inode == o.Inode
}

type answer struct {
	file    probed
	version string
	err     error
	at      time.Time
}

// NewFinder returns a finder that remembers in cacheFile; "" for memory only.
func NewFinder(cacheFile string) *Finder {
	f := &Finder{known: map[string]probed{}, doubtful: map[string]answer{}, file: cacheFile, now: time.Now}
	if cacheFile != "" {
		// A cache that cannot be read is an empty one.
		if b, err := os.ReadFile(cacheFile); err == nil && json.Unmarshal(b, &f.known) != nil {
			f.known = map[string]probed{}
		}
	}
	return f
}

// version is the version of a program, asked once for as long as its file stays the same.
// real is what tells it apart from other programs: its resolved path, or the path as it is
// for one whose name decides what it does.
func (f *Finder) version(ctx context.Context, p schema.Provisioner, path, search string) (real string, number *version.Version, err error) {
	if !filepath.IsAbs(path) {
		return "", nil, errors.New("the path must be absolute")
	}
	if real, err = filepath.EvalSymlinks(path); err != nil {
		return "", nil, err
	}
	st, err := os.Stat(real)
	if err != nil {
		return "", nil, err
	}
	if !isProgram(real) {
		return "", nil, errors.New("it is not a program")
	}
	is := probed{Size: st.Size(), ModTime: st.ModTime()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		is.Inode = sys.Ino
	}
	f.mu.Lock() // jobs that ask for the same program at once wait for one answer
	defer f.mu.Unlock()
	if k, ok := f.known[real]; ok && k.sameFile(is) && strings.HasPrefix(filepath.Base(real), filepath.Base(path)) {
		number, err = parse(k.Version)
		return real, number, err
	}
	switcher := isSwitcher(path, real)
	if switcher {
		real = path
	}
	if a, ok := f.doubtful[path]; ok && a.file.sameFile(is) && f.now().Sub(a.at) < doubtAfter {
		if a.err != nil {
			return real, nil, a.err
		}
		number, err = parse(a.version)
		return real, number, err
	}
	is.Version, err = ask(ctx, p, path, search)
	if err == nil {
		number, err = parse(is.Version)
	}
	switch {
	case ctx.Err() != nil:
		return real, nil, ctx.Err()
	case err != nil || switcher:
		f.doubtful[path] = answer{file: is, version: is.Version, err: err, at: f.now()}
		return real, number, err
	}
	delete(f.doubtful, path)
	f.known[real] = is
	f.remember()
	return real, number, nil
}

// Version asks the program of an engine for its version, whatever is remembered.
func Version(ctx context.Context, p schema.Provisioner, path string) (string, error) {
	if !isProgram(path) {
		return "", fmt.Errorf("%s: it is not a program", path)
	}
	s, err := ask(ctx, p, path, os.Getenv("PATH"))
	if err != nil {
		return "", err
	}
	_, err = parse(s)
	return s, err
}

func parse(s string) (*version.Version, error) {
	v, err := version.NewVersion(s)
	if err != nil {
		return nil, fmt.Errorf("its version: %w", err)
	}
	return v, nil
}

// remember writes the cache, without programs that are gone. That it cannot be written
// costs a process next time and is nobody's concern.
func (f *Finder) remember() {
	if f.file == "" {
		return
	}
	maps.DeleteFunc(f.known, func(path string, _ probed) bool {
		_, err := os.Stat(path)
		return errors.Is(err, os.ErrNotExist)
	})
	b, err := json.Marshal(f.known)
	if err != nil || os.MkdirAll(filepath.Dir(f.file), 0o700) != nil {
		return
	}
	_ = renameio.WriteFile(f.file, b, 0o600)
}

// isSwitcher tells whether a program only stands for others, as version switchers do: a
// script, or a link to something of another name. What it runs changes while its file
// does not.
func isSwitcher(path, real string) bool {
	if !strings.HasPrefix(filepath.Base(real), filepath.Base(path)) {
		return true
	}
	file, err := os.Open(real)
	if err != nil {
		return true
	}
	defer func() { _ = file.Close() }()
	head := make([]byte, 2)
	_, err = file.Read(head)
	return err != nil || string(head) == "#!"
}

// ask runs the program for its version: `version -json` of Terraform and OpenTofu,
// `version` of Pulumi, which prints "v3.230.0".
func ask(ctx context.Context, p schema.Provisioner, path, search string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	words := []string{"version", "-json"}
	if p == schema.Pulumi {
		words = words[:1]
	}
	var out, said bytes.Buffer
	run := func() error {
		cmd := exec.CommandContext(ctx, path, words...)
		cmd.Dir = os.TempDir() // no module's lock file there
		cmd.WaitDelay = time.Second
		cmd.Env = []string{"PATH=" + search, "CHECKPOINT_DISABLE=1", "PULUMI_SKIP_UPDATE_CHECK=true"}
		cmd.Stdout, cmd.Stderr = &out, &said
		return cmd.Run()
	}
	err := run()
	// A program that was just written is held open for a moment by what this process was
	// starting meanwhile.
	for try := 0; errors.Is(err, syscall.ETXTBSY) && try < busyTries; try++ {
		select {
		case <-ctx.Done():
		case <-time.After(busyPause):
		}
		err = run()
	}
	if err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("it did not say its version: %w", ctx.Err())
		}
		return "", fmt.Errorf("it did not say its version: %w: %s", err, firstLine(said.String()))
	}
	number := ""
	if p == schema.Pulumi {
		number = strings.TrimPrefix(firstLine(out.String()), "v")
	} else {
		// A warning about the CLI's configuration may stand before it.
		var v struct {
			Version string `json:"terraform_version"` // tofu says it under the same name
		}
		if err := json.Unmarshal(out.Bytes()[max(0, bytes.IndexByte(out.Bytes(), '{')):], &v); err == nil {
			number = v.Version
		}
	}
	if number == "" {
		return "", errors.New("it did not say its version: is it an engine?")
	}
	return number, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(line)
}
