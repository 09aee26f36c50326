package app

import (
	"maps"
	"strconv"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// roomForJob is how much memory each job that can run at once must have for its
	// engine to be let use more of it: several times what an engine with a large
	// provider takes.
	roomForJob = 4 << 30
	// engineGC is how far the heap of an engine may grow beyond what it holds, in
	// percent, where there is room. An engine lives for a second, and with Go's 100 it
	// spends a third of that on collecting what the system would get back anyway.
	engineGC = 300
)

// memory is how much memory this process can have, in bytes, by its control group or
// else by the machine; 0 when nobody tells.
func memory() uint64 {
	m, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil {
		return 0
	}
	return m
}

// unhurried has the engines of jobs, so many at once, collect garbage more seldom where
// there is memory for it. What the configuration says of it counts more. See page 0160.
func unhurried(env map[string]string, jobs int, memory uint64) map[string]string {
	_, percent := env["GOGC"]
	_, limit := env["GOMEMLIMIT"]
	if percent || limit || jobs < 1 || memory/uint64(jobs) < roomForJob {
		return env
	}
	out := map[string]string{"GOGC": strconv.Itoa(engineGC)}
	maps.Copy(out, env)
	return out
}
