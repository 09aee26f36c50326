//go:build !linux

package pulumi

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup makes a process the leader of a group. Outside Linux it does not die with us.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killGroup kills a process group.
func killGroup(pgid int) {
	if pgid > 1 {
		_ = unix.Kill(-pgid, unix.SIGKILL) // ESRCH: nothing is left, as it should be
	}
}
