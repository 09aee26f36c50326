package tooltest

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
)

// CopyOwnProgram copies the test binary, which lies where only its owner may look, to a path
// from which everybody can run it. It is written while nobody forks: a process that another
// test starts meanwhile would hold the file open, and the kernel runs no file that somebody
// writes (ETXTBSY).
func CopyOwnProgram(t testing.TB, path string) {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(own)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	syscall.ForkLock.RLock()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755) //nolint:gosec // a program
	if err == nil {
		_, err = io.Copy(to, from)
		err = errors.Join(err, to.Close())
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
}
