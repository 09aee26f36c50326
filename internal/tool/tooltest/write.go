package tooltest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// WriteProgram writes a program that everybody can run, a script as a rule, and the folders
// above it.
func WriteProgram(t testing.TB, path, text string) {
	t.Helper()
	write(t, path, strings.NewReader(text))
}

// CopyOwnProgram copies the test binary, which lies where only its owner may look, to a path
// from which everybody can run it.
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
	write(t, path, from)
}

// write writes a program while nobody forks: a process that another test starts meanwhile
// would hold the file open, and the kernel runs no file that somebody writes (ETXTBSY).
func write(t testing.TB, path string, text io.Reader) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	syscall.ForkLock.RLock()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err == nil {
		_, err = io.Copy(to, text)
		err = errors.Join(err, to.Close())
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
}
