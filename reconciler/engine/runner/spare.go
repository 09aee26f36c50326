package runner

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/reconciler/engine/runner/sweep"
)

// spareArgument stands in the place of the folder on the command line of a spare.
const spareArgument = "-"

// spareIdle is how long a spare waits for work before the launcher lets it go.
const spareIdle = 5 * time.Minute

// maxPath is more than a path can have.
const maxPath = 8 << 10

// spare is a runner that was started before there was a folder for it: starting a
// program of this size takes longer than all else that a launcher does. It knows
// nothing and holds nothing. It gets its folder, with the lock that it would have
// been born with, over a socket, and ends when the other end is closed: it never
// outlives its daemon unless it has work.
type spare struct {
	cmd  *exec.Cmd
	id   string   // its sweep.Variable
	line *os.File // our end
}

// spares keeps one spare ready.
type spares struct {
	command []string

	mu      sync.Mutex // guards what follows
	ready   *spare
	filling bool
	closed  bool
	idle    *time.Timer
}

// take returns the spare, or nil when there is none.
func (s *spares) take() *spare {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.ready
	s.ready = nil
	return sp
}

// fill starts a spare unless there is one. That it cannot is no error: a runner is
// then started the slow way, and says why that fails.
func (s *spares) fill() {
	s.mu.Lock()
	if s.closed || s.filling || s.ready != nil {
		s.mu.Unlock()
		return
	}
	s.filling = true
	s.mu.Unlock()
	sp, err := newSpare(s.command)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filling = false
	if err != nil {
		return
	}
	if s.closed {
		sp.dismiss()
		return
	}
	s.ready = sp
	if s.idle == nil {
		s.idle = time.AfterFunc(spareIdle, s.drain)
	} else {
		s.idle.Reset(spareIdle)
	}
}

// drain lets the spare go.
func (s *spares) drain() {
	if sp := s.take(); sp != nil {
		sp.dismiss()
	}
}

// close lets the spare go and has no other made.
func (s *spares) close() {
	s.mu.Lock()
	s.closed = true
	if s.idle != nil {
		s.idle.Stop()
	}
	s.mu.Unlock()
	s.drain()
}

func newSpare(command []string) (*spare, error) {
	ours, its, err := socketpair()
	if err != nil {
		return nil, fmt.Errorf("make a socket pair: %w", err)
	}
	defer its.Close()
	sp := &spare{id: rand.Text(), line: ours}
	sp.cmd = exec.Command(command[0], append(slices.Clone(command[1:]), spareArgument)...)
	sp.cmd.Args[0] = "reeve"
	sp.cmd.Dir = "/"
	sp.cmd.Env = []string{sweep.Variable + "=" + sp.id}
	sp.cmd.ExtraFiles = []*os.File{its} // becomes inheritedLock, until there is one
	sp.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := sp.cmd.Start(); err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	return sp, nil
}

// dismiss ends a spare that nobody needs.
func (sp *spare) dismiss() {
	_ = sp.line.Close()
	go func() { _ = sp.cmd.Wait() }()
}

// give hands the folder over. After an error the spare is of no use, and did not get
// the folder or will refuse it: whoever starts another runner holds the lock.
func (sp *spare) give(folder string, lock, out *os.File) error {
	defer sp.line.Close()
	rights := unix.UnixRights(int(lock.Fd()), int(out.Fd()))
	if err := unix.Sendmsg(int(sp.line.Fd()), []byte(folder), rights, nil, 0); err != nil {
		return fmt.Errorf("hand the folder to a spare runner: %w", err)
	}
	return nil
}

// socketpair returns two connected ends that no other child gets.
func socketpair() (a, b *os.File, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	return os.NewFile(uintptr(fds[0]), "spare"), os.NewFile(uintptr(fds[1]), "spare"), nil
}

// waitForFolder is the life of a spare until it gets work: then it is as if it had
// been started with the folder. It returns [io.EOF] when there will be none.
func waitForFolder() (string, error) {
	text, rights := make([]byte, maxPath), make([]byte, unix.CmsgSpace(2*4))
	n, nr, err := receive(text, rights)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return "", io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(rights[:nr])
	if err != nil || len(messages) != 1 {
		return "", errors.Join(errors.New("a folder came without its lock"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 2 {
		return "", errors.Join(errors.New("a folder came without its lock"), err)
	}
	folder := string(text[:n])
	for _, to := range []struct{ from, to int }{{fds[0], inheritedLock}, {fds[1], 1}, {fds[1], 2}} {
		if err := duplicate(to.from, to.to); err != nil {
			return "", err
		}
	}
	return folder, errors.Join(unix.Close(fds[0]), unix.Close(fds[1]), os.Chdir(folder))
}

func receive(text, rights []byte) (n, nr int, err error) {
	for {
		n, nr, _, _, err = unix.Recvmsg(inheritedLock, text, rights, 0)
		if !errors.Is(err, unix.EINTR) {
			return n, nr, err
		}
	}
}
