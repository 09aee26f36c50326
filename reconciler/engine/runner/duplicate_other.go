//go:build !linux

package runner

import "golang.org/x/sys/unix"

// duplicate makes to the same open file as from.
func duplicate(from, to int) error { return unix.Dup2(from, to) }
