package app_test

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func mountSmall(dir string, kilobytes int) error {
	return unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk,mode=0700", kilobytes))
}

func unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }

// limitFiles lets another process of this user write no file beyond a size, and
// returns what lifts the limit again. Nobody needs a right for that: the hard limit
// stays. A write beyond it fails with EFBIG, as on a disk that has no room; the signal
// that comes with it means nothing to a program in Go.
func limitFiles(pid int, bytes uint64) (lift func() error, err error) {
	var was unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &was); err != nil {
		return nil, err
	}
	lift = func() error { return unix.Prlimit(pid, unix.RLIMIT_FSIZE, &was, nil) }
	return lift, unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: was.Max}, nil)
}
