package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMemoryIsGivenBackOnceWhenWorkIsFollowedByRest(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	var r rest
	var got []bool
	// Work, work, rest, rest, a little work, rest, much work, rest.
	for _, allocated := range []uint64{50 * mb, 400 * mb, 401 * mb, 402 * mb, 410 * mb, 411 * mb, 500 * mb, 500 * mb} {
		got = append(got, r.isDue(allocated))
	}
	if diff := cmp.Diff([]bool{false, false, true, false, false, false, false, true}, got); diff != "" {
		t.Errorf("given back (-want +got):\n%s", diff)
	}
}

func TestAllocatedGrows(t *testing.T) {
	t.Parallel()
	before := allocated()
	keep := make([][]byte, 64)
	for i := range keep {
		keep[i] = make([]byte, 1<<20)
	}
	if after := allocated(); after-before < uint64(len(keep)<<20) {
		t.Errorf("after allocating %d MB it grew by %d bytes", len(keep), after-before)
	}
}
