package runner

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/reconciler/engine"
)

// limit sets the resource limits for this process and all below it. Limits can
// only be lowered: who asks for more than the daemon has gets what the daemon has.
// That on file size is a soft one: the runner lifts it to write the result.
//
// Processes and threads are counted by the system for the whole user, other jobs
// and the daemon included: it stops a fork bomb and shares out nothing. Memory is
// address space of each process.
func limit(l engine.Limits) error {
	for _, r := range []struct {
		what     string
		resource int
		value    uint64
	}{
		{"open files", unix.RLIMIT_NOFILE, l.OpenFiles},
		{"processes", unix.RLIMIT_NPROC, l.Processes},
		{"memory", unix.RLIMIT_AS, l.MemoryBytes},
		{"file size", unix.RLIMIT_FSIZE, l.FileBytes},
	} {
		if r.value == 0 {
			continue
		}
		var now syscall.Rlimit
		if err := syscall.Getrlimit(r.resource, &now); err != nil {
			return fmt.Errorf("limit %s: %w", r.what, err)
		}
		value := min(r.value, now.Max, math.MaxInt64)
		// Of package syscall: it remembers that the limit on open files was set on
		// purpose, so that children get it too.
		most := value
		if r.resource == unix.RLIMIT_FSIZE {
			most = now.Max
		}
		if err := syscall.Setrlimit(r.resource, &syscall.Rlimit{Cur: value, Max: most}); err != nil {
			return fmt.Errorf("limit %s: %w", r.what, err)
		}
	}
	return nil
}

// liftFileSize lets this process write files of any size again. When it fails the
// limit stays, and the write tells.
func liftFileSize() {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(unix.RLIMIT_FSIZE, &now); err == nil {
		now.Cur = now.Max
		_ = syscall.Setrlimit(unix.RLIMIT_FSIZE, &now)
	}
}

// leastMemory is the address space that the runner itself may still need.
const leastMemory = 512 << 20

// tooSmall tells why the runner could not live with a limit; "" when it can.
func tooSmall(l engine.Limits) string {
	if used := addressSpace(); l.MemoryBytes > 0 && l.MemoryBytes < used+leastMemory {
		return fmt.Sprintf("the memory limit is %d bytes of address space; the runner alone needs %d", l.MemoryBytes, used+leastMemory)
	}
	const leastFiles = 64
	if l.OpenFiles > 0 && l.OpenFiles < leastFiles {
		return fmt.Sprintf("the limit is %d open files; the runner and an engine need at least %d", l.OpenFiles, leastFiles)
	}
	return ""
}

// addressSpace is how much this process has now; 0 where nobody says.
func addressSpace() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var pages uint64
	if _, err := fmt.Sscan(string(b), &pages); err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// closeInherited closes every file that was passed on unknowingly: a listening
// socket or a database of the daemon would live as long as the runner. What this
// process has opened itself closes on exec; what came over an exec does not.
func closeInherited(except int) error {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 || fd == except {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
	return nil
}
