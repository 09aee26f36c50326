package app_test

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func mountSmall(dir string, kilobytes int) error {
	return unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk,mode=0700", kilobytes))
}

func unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }
