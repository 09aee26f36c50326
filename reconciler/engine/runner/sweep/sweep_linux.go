package sweep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// process is one line of the process table.
type process struct {
	pid, parent, session int
	// started is in clock ticks since boot: with the pid it names one process.
	started string
}

// Kill kills every process of the run and waits until none is left.
func Kill(ctx context.Context, r Run) error {
	return killUntilGone(ctx, func() ([]process, error) { return find(r) })
}

// KillDescendants kills every process below this one and waits for all of them.
// It needs [Adopt] to have been called before they were started, and no other
// goroutine that waits for children.
func KillDescendants(ctx context.Context) error {
	err := killUntilGone(ctx, func() ([]process, error) {
		if !reap() {
			return nil, nil
		}
		all, err := list()
		if err != nil {
			return nil, err
		}
		mine := map[int]bool{os.Getpid(): true}
		below := relatives(all, mine, func(process) bool { return false })
		return below, nil
	})
	reap()
	return err
}

// Adopt makes orphans below this process its own children.
func Adopt() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// Signal sends a signal to the process if it belongs to the run. It returns
// [os.ErrProcessDone] when there is no such process.
func Signal(pid int, r Run, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return os.ErrProcessDone
	case errors.Is(err, unix.ENOSYS):
		if !carries(pid, r.ID) {
			return os.ErrProcessDone
		}
		return done(unix.Kill(pid, sig))
	case err != nil:
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer func() { _ = unix.Close(fd) }()
	// From here on the number cannot mean another process.
	if !carries(pid, r.ID) {
		return os.ErrProcessDone
	}
	return done(unix.PidfdSendSignal(fd, sig, nil, 0))
}

func done(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// reap takes the exit codes of children that ended. It tells whether there are
// children still.
func reap() bool {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return false
		}
		if pid == 0 {
			return true
		}
	}
}

func killUntilGone(ctx context.Context, find func() ([]process, error)) error {
	until := time.Now().Add(patience)
	pause := time.Millisecond
	for {
		left, err := find()
		if err != nil {
			return fmt.Errorf("look for processes: %w", err)
		}
		if len(left) == 0 {
			return nil
		}
		for _, p := range left {
			kill(p)
		}
		if time.Now().After(until) {
			return fmt.Errorf("%d processes do not end though killed, the first is %d", len(left), left[0].pid)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, 20*time.Millisecond)
	}
}

// clockSlack is how far two clocks that tell of one moment may be apart: the kernel's,
// which counts from the boot, and the one that is set meanwhile.
const clockSlack = 5 * time.Second

// IsThere tells whether the process that had a number at a time runs, whoever's it is;
// true when that cannot be told. One that was killed and that nobody has waited for yet
// runs no more: its number is taken for as long as its parent pleases, and where the first
// process of a container waits for nobody, for ever. One that began later is another: a
// container that begins again gives the same few numbers away once more.
func IsThere(pid int, at time.Time) bool {
	if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return false
	}
	s, known := statusOf(pid)
	if known && !s.runs() {
		return false
	}
	began, known := beganAt(pid)
	return !known || !began.After(at.Add(clockSlack))
}

func beganAt(pid int) (time.Time, bool) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return time.Time{}, false
	}
	s, err := p.Stat()
	if err != nil {
		return time.Time{}, false
	}
	seconds, err := s.StartTime()
	return time.Unix(int64(seconds), 0), err == nil
}

// kill kills the process unless its number is somebody else's by now. When it
// fails the process is gone, or is found again.
func kill(p process) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil && !errors.Is(err, unix.ENOSYS) {
		return
	}
	if err == nil {
		defer func() { _ = unix.Close(fd) }()
	}
	if now, ok := read(p.pid); !ok || now.started != p.started {
		return
	}
	if err != nil {
		_ = unix.Kill(p.pid, unix.SIGKILL)
		return
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}

// find lists the run's processes, this one excepted.
func find(r Run) ([]process, error) {
	all, err := list()
	if err != nil {
		return nil, err
	}
	ours := map[int]bool{}
	return relatives(all, ours, func(p process) bool {
		return r.Session != 0 && p.session == r.Session || carries(p.pid, r.ID)
	}), nil
}

// relatives lists what belongs, is a descendant of one of seeds or of what
// belongs, or shares a session with what belongs.
func relatives(all []process, seeds map[int]bool, belongs func(process) bool) []process {
	self := os.Getpid()
	own, _ := read(self)
	alive, in, sessions := map[int]bool{}, map[int]bool{}, map[int]bool{}
	for _, p := range all {
		alive[p.pid] = true
	}
	// A session whose leader lives and is not ours is somebody's login.
	isOurs := func(session int) bool { return sessions[session] && (in[session] || !alive[session]) }
	for pid := range seeds {
		in[pid] = true
	}
	add := func(p process) {
		in[p.pid] = true
		if p.session != own.session && p.session != 0 {
			sessions[p.session] = true
		}
	}
	for _, p := range all {
		if p.pid != self && belongs(p) {
			add(p)
		}
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !in[p.pid] && p.pid != self && (in[p.parent] || isOurs(p.session)) {
				add(p)
				grown = true
			}
		}
	}
	var out []process
	for _, p := range all {
		if in[p.pid] && p.pid != self {
			out = append(out, p)
		}
	}
	return out
}

// list reads the process table. Zombies are not in it: they run no more. One that
// has threads left is none yet: the first thread ends on its own.
func list() ([]process, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var out []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := read(pid); ok {
			out = append(out, p)
		}
	}
	return out, nil
}

// read reads a process; false when it runs no more.
func read(pid int) (process, bool) {
	f, ok := statusOf(pid)
	if !ok || !f.runs() {
		return process{}, false
	}
	p := process{pid: pid, started: f[started]}
	var errs [2]error
	p.parent, errs[0] = strconv.Atoi(f[parent])
	p.session, errs[1] = strconv.Atoi(f[session])
	return p, errors.Join(errs[:]...) == nil
}

// status are the fields of /proc/PID/stat after the name: "pid (name) state ppid pgrp
// session …". The name may hold anything but ends at the last parenthesis.
type status []string

const state, parent, session, threads, started = 0, 1, 3, 17, 19

func statusOf(pid int) (status, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, false
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return f, len(f) > started
}

func (s status) runs() bool {
	return s[state] != "X" && (s[state] != "Z" || s[threads] != "0" && s[threads] != "1")
}

// carries tells whether the process has the run's mark.
func carries(pid int, id string) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil || id == "" {
		return false
	}
	mark := []byte(Variable + "=" + id)
	for len(b) > 0 {
		var word []byte
		word, b, _ = bytes.Cut(b, []byte{0})
		if bytes.Equal(word, mark) {
			return true
		}
	}
	return false
}
