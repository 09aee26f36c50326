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
	"regexp"
	"runtime"
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

// slowness is how many times as long an answer is believed as it took: a program that never
// answers holds up those who ask for a twentieth of the time at most.
const slowness = 20

// Finder finds programs and remembers their versions. It may be used concurrently.
type Finder struct {
	mu    sync.Mutex        // guards the three maps; not held while a program is asked
	known map[string]probed // by resolved path
	// doubtful are the answers that are believed for a while only.
	doubtful map[asked]answer
	// asking has a lock for each program that was ever asked: jobs that need the same one
	// at once wait for one answer, and for no other program's.
	asking map[asked]*sync.Mutex

	file     string
	now      func() time.Time
	patience time.Duration
}

// asked is a path as found, asked for as an engine.
type asked struct {
	engine schema.Provisioner
	path   string
}

// probed is what is known of a program, as long as its file stays the same.
type probed struct {
	// Engine is the one that the program said it is.
	Engine  schema.Provisioner `json:"engine"`
	Size    int64              `json:"size"`
	ModTime time.Time          `json:"modTime"`
	Inode   uint64             `json:"inode"`
	Version string             `json:"version"`
}

// sameFile tells whether an answer is still good: of the same file, to the same question.
func (p probed) sameFile(o probed) bool {
	return p.Engine == o.Engine && p.Size == o.Size && p.ModTime.Equal(o.ModTime) && p.Inode == o.Inode
}

type answer struct {
	file    probed
	version string
	err     error
	until   time.Time
}

// NewFinder returns a finder that remembers in cacheFile; "" for memory only.
func NewFinder(cacheFile string) *Finder {
	f := &Finder{known: map[string]probed{}, doubtful: map[asked]answer{}, asking: map[asked]*sync.Mutex{},
		file: cacheFile, now: time.Now, patience: probeTimeout}
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
func (f *Finder) version(ctx context.Context, q asked, o Options) (real string, number *version.Version, err error) {
	path := q.path
	if !filepath.IsAbs(path) {
		return "", nil, errors.New("the path must be absolute")
	}
	is, real, err := look(path)
	if err != nil {
		return "", nil, err
	}
	is.Engine = q.engine
	turn := f.turn(q)
	turn.Lock()
	defer turn.Unlock()
	if k, ok := f.recall(real); ok && k.sameFile(is) && strings.HasPrefix(filepath.Base(real), filepath.Base(path)) {
		number, err = parse(k.Version)
		return real, number, err
	}
	switcher := isSwitcher(path, real)
	if switcher {
		real = path
	}
	if a, ok := f.believe(q); ok && a.file.sameFile(is) {
		if a.err != nil {
			return real, nil, a.err
		}
		number, err = parse(a.version)
		return real, number, err
	}
	if o.Asking != nil {
		o.Asking(q.engine, path)
	}
	began := f.now()
	is.Version, err = ask(ctx, q, o.Path, f.patience)
	if err == nil {
		number, err = parse(is.Version)
	}
	switch {
	case ctx.Err() != nil:
		return real, nil, ctx.Err()
	case err != nil || switcher:
		now := f.now()
		f.doubt(q, answer{file: is, version: is.Version, err: err, until: now.Add(max(doubtAfter, slowness*now.Sub(began)))})
		return real, number, err
	}
	f.remember(q, real, is)
	return real, number, nil
}

// look tells which file is at a path, without running it.
func look(path string) (is probed, real string, err error) {
	real, err = filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Lstat(path); err == nil {
			return is, "", errors.New("it is a link to what is not there")
		}
		return is, "", errors.New("there is no such file")
	}
	if err != nil {
		return is, "", err
	}
	st, err := os.Stat(real)
	switch {
	case err != nil:
		return is, "", err
	case st.IsDir():
		return is, "", errors.New("it is a folder and not a program")
	case !st.Mode().IsRegular():
		return is, "", errors.New("it is not a program")
	case st.Mode()&0o111 == 0:
		return is, "", errors.New("it may not be executed (`chmod +x` lets it)")
	}
	is = probed{Size: st.Size(), ModTime: st.ModTime()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		is.Inode = sys.Ino
	}
	return is, real, nil
}

// turn is the lock of those who ask one program.
func (f *Finder) turn(q asked) *sync.Mutex {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asking[q] == nil {
		f.asking[q] = new(sync.Mutex)
	}
	return f.asking[q]
}

func (f *Finder) recall(real string) (probed, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k, ok := f.known[real]
	return k, ok
}

// believe is the last answer to a question, when it is not too old.
func (f *Finder) believe(q asked) (answer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.doubtful[q]
	return a, ok && f.now().Before(a.until)
}

func (f *Finder) doubt(q asked, a answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.doubtful[q] = a
}

// Version asks the program of an engine for its version, whatever is remembered.
func Version(ctx context.Context, p schema.Provisioner, path string) (string, error) {
	if _, _, err := look(path); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	s, err := ask(ctx, asked{p, path}, os.Getenv("PATH"), probeTimeout)
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

// remember keeps an answer and writes the cache, without programs that are gone. That it
// cannot be written costs a process next time and is nobody's concern.
func (f *Finder) remember(q asked, real string, is probed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.doubtful, q)
	f.known[real] = is
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

// makers are the engines as they call themselves.
var makers = map[string]schema.Provisioner{"Terraform": schema.Terraform, "OpenTofu": schema.OpenTofu, "Pulumi": schema.Pulumi}

// Line forms of what `version` prints: "Terraform v1.11.4" or "OpenTofu v1.12.6", a warning
// about the CLI's configuration before it and the platform behind it; "v3.230.0" of Pulumi.
// `version -json` would not do: OpenTofu calls its number terraform_version there, too.
var (
	namedVersion = regexp.MustCompile(`(?m)^(Terraform|OpenTofu) v(\S+)`)
	bareVersion  = regexp.MustCompile(`\Av(\d\S*)`)
)

// ask runs the program for its version. A program of another engine is an error: it would
// take the state of a stack that is not its own.
func ask(ctx context.Context, q asked, search string, patience time.Duration) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it did not say its version within %s", patience))
	defer cancel()
	var out, said limited
	run := func() error {
		cmd := exec.CommandContext(ctx, q.path, "version")
		cmd.Dir = os.TempDir() // no module's lock file there
		cmd.WaitDelay = time.Second
		// A group of its own, so that what a script has started does not stay when it is killed.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
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
	switch {
	case ctx.Err() != nil && err != nil:
		return "", context.Cause(ctx)
	case out.full || said.full:
		return "", fmt.Errorf("it did not say its version, but more than %d bytes: is it an engine?", maxSaid)
	case errors.Is(err, syscall.ENOEXEC):
		return "", fmt.Errorf("it is no program for this machine (%s/%s)", runtime.GOOS, runtime.GOARCH)
	case errors.Is(err, os.ErrNotExist):
		return "", errors.New("what it is run with, an interpreter or a loader, is not there")
	case err != nil:
		why := err.Error()
		if line := firstLine(said.String()); line != "" {
			why += ": " + line
		}
		return "", errors.New("it did not say its version: " + why)
	}
	is, number := "", ""
	if m := namedVersion.FindStringSubmatch(out.String()); m != nil {
		is, number = m[1], m[2]
	} else if m := bareVersion.FindStringSubmatch(strings.TrimSpace(out.String())); m != nil {
		is, number = "Pulumi", m[1]
	}
	switch {
	case number == "":
		return "", errors.New("it did not say its version: is it an engine?")
	case makers[is] != q.engine:
		return "", fmt.Errorf("it answers as %s %s, and not as %s", is, number, called(q.engine))
	}
	return number, nil
}

// maxSaid is more than any engine says of its version.
const maxSaid = 64 << 10

// limited keeps what a program says, and takes no more than maxSaid of it. The buffer is no
// embedded one: its ReadFrom would go past Write.
type limited struct {
	said bytes.Buffer
	full bool
}

// Write ends the program that says too much: nobody reads it any more.
func (l *limited) Write(b []byte) (int, error) {
	if l.said.Len()+len(b) > maxSaid {
		l.full = true
		return 0, bytes.ErrTooLarge
	}
	return l.said.Write(b)
}

// String is what was said so far.
func (l *limited) String() string { return l.said.String() }

// called is an engine as it calls itself.
func called(p schema.Provisioner) string {
	for name, is := range makers {
		if is == p {
			return name
		}
	}
	return string(p)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(line)
}
