package app

import "testing"

func TestEnginesCollectSeldomWhereThereIsRoom(t *testing.T) {
	const gib = 1 << 30
	for name, tt := range map[string]struct {
		env    map[string]string
		jobs   int
		memory uint64
		want   string
	}{
		"room for all":          {jobs: 4, memory: 16 * gib, want: "300"},
		"one more job":          {jobs: 5, memory: 16 * gib},
		"nobody knows":          {jobs: 2},
		"said otherwise":        {env: map[string]string{"GOGC": "50"}, jobs: 1, memory: 64 * gib, want: "50"},
		"a limit is configured": {env: map[string]string{"GOMEMLIMIT": "1GiB"}, jobs: 1, memory: 64 * gib},
	} {
		t.Run(name, func(t *testing.T) {
			given := len(tt.env)
			if got := unhurried(tt.env, tt.jobs, tt.memory)["GOGC"]; got != tt.want {
				t.Errorf("GOGC is %q, want %q", got, tt.want)
			}
			if len(tt.env) != given {
				t.Error("it changed the environment that it was given")
			}
		})
	}
}

func TestMemoryOfThisMachineIsKnown(t *testing.T) {
	if m := memory(); m < 64<<20 {
		t.Errorf("this machine has %d bytes of memory", m)
	}
}
