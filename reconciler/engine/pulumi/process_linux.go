package pulumi

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup makes a process the leader of a group, and lets it die with us.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killGroup kills a process group. When its leader has been waited for, the number
// stays taken as long as the group has members, so it can hit nobody else's.
func killGroup(pgid int) {
	if pgid > 1 {
		_ = unix.Kill(-pgid, unix.SIGKILL) // ESRCH: nothing is left, as it should be
	}
}
