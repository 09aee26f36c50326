package terraform

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// thread is an operating system's thread of this process, 0 for any.
type thread int

// thisThread keeps the calling goroutine on its thread, which is returned, until the
// returned function is called.
func thisThread() (thread, func()) {
	runtime.LockOSThread()
	return thread(unix.Gettid()), runtime.UnlockOSThread
}

// childIn returns the child that the thread started, leads a process group and has dir
// as its working folder; 0 when there is none. terraform-exec makes every engine
// the leader of its own group, and no two jobs share a folder.
func childIn(dir string, by thread) int {
	for _, pid := range children(by) {
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

// children lists the children of this process that the thread started. Asking for those
// of one thread is by far the cheaper: what was looked up of a process is walked through
// by the kernel when it ends.
func children(by thread) []int {
	pattern := "/proc/self/task/*/children"
	if by != 0 {
		pattern = fmt.Sprintf("/proc/self/task/%d/children", by)
	}
	lists, err := filepath.Glob(pattern)
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

// endChild interrupts a child of ours that leads a process group, kills the group after
// the grace time, and returns when the child has ended and was waited for.
func endChild(pid int, grace time.Duration) {
	_ = unix.Kill(pid, unix.SIGINT)
	late := time.AfterFunc(grace, func() { killGroup(pid) })
	defer late.Stop()
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// killGroup kills a process group. When its leader has been waited for, the number
// stays taken as long as the group has members, so it can hit nobody else's.
func killGroup(pgid int) {
	if pgid > 1 {
		_ = unix.Kill(-pgid, unix.SIGKILL) // ESRCH: nothing is left, as it should be
	}
}
