package runner

import (
	"os"

	"golang.org/x/sys/unix"
)

// takeRoom gives a file room on the disk; zeroes where the file system cannot
// promise room otherwise.
func takeRoom(f *os.File, size int64) error {
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err == nil || isFull(err) {
		return err
	}
	_, err := f.Write(make([]byte, size))
	return err
}
