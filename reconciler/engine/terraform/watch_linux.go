package terraform

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// childIn returns the child of this process that leads a process group and has dir
// as its working folder; 0 when there is none. terraform-exec makes every engine
// the leader of its own group, and no two jobs share a folder.
func childIn(dir string) int {
	for _, pid := range children() {
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		if err != nil || cwd != dir {
			continue
		}
		if pgid, err := unix.Getpgid(pid); err == nil && pgid == pid {
			return pid
		}
	}
	return 0
}

// children lists the children of this process: they are listed by the thread that
// started them.
func children() []int {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		return childrenByScan() // a kernel without CONFIG_PROC_CHILDREN
	}
	var out []int
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue // the thread is gone
		}
		for word := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(word); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

func childrenByScan() []int {
	self := os.Getpid()
	var out []int
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		// pid (name) state ppid …; the name may hold anything but ends at the last ')'.
		_, after, _ := strings.Cut(string(b[max(0, strings.LastIndexByte(string(b), ')')):]), ") ")
		if f := strings.Fields(after); len(f) > 1 && f[1] == strconv.Itoa(self) {
			out = append(out, pid)
		}
	}
	return out
}

// killGroup kills a process group. When its leader has been waited for, the number
// stays taken as long as the group has members, so it can hit nobody else's.
func killGroup(pgid int) {
	if pgid > 1 {
		_ = unix.Kill(-pgid, unix.SIGKILL) // ESRCH: nothing is left, as it should be
	}
}
