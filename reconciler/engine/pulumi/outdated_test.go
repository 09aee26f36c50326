package pulumi

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhichFilesOfUpdatesAreOutdated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ there, want []string }{
		"nothing":               {},
		"no more than are kept": {there: []string{"dev-1.history.json", "dev-1.checkpoint.json", "dev-2.history.json", "dev-2.checkpoint.json"}},
		"the oldest, whole": {
			there: []string{"dev-1.checkpoint.json", "dev-1.history.json", "dev-2.checkpoint.json", "dev-2.history.json", "dev-3.checkpoint.json", "dev-3.history.json"},
			want:  []string{"dev-1.history.json", "dev-1.checkpoint.json"},
		},
		"by time and not by the alphabet": {
			there: []string{"dev-9.history.json", "dev-10.history.json", "dev-11.history.json"},
			want:  []string{"dev-9.history.json"},
		},
		"compressed, with attributes": {
			there: []string{"dev-1.history.json.gz", "dev-1.history.json.gz.attrs", "dev-1.checkpoint.json.gz", "dev-2.history.json.zst", "dev-3.history.json"},
			want:  []string{"dev-1.history.json.gz.attrs", "dev-1.history.json.gz", "dev-1.checkpoint.json.gz"},
		},
		"what was killed is no update": {
			there: []string{"dev-1.history.json", "dev-2.history.json", "dev-3.history.json.18ab.tmp", "dev-4.checkpoint.json"},
		},
		"what was killed goes with what is as old": {
			there: []string{"dev-1.checkpoint.json", "dev-2.history.json.18ab.tmp", "dev-3.history.json", "dev-4.history.json"},
			want:  []string{"dev-1.checkpoint.json", "dev-2.history.json.18ab.tmp"},
		},
		"backups": {
			there: []string{"dev.1.json", "dev.2.json.gz", "dev.3.json"},
			want:  []string{"dev.1.json"},
		},
		"of a stack with a dash and a dot": {
			there: []string{"prod.PulumiStack.shop-2-1.history.json", "prod.PulumiStack.shop-2-2.history.json", "prod.PulumiStack.shop-2-3.history.json"},
			want:  []string{"prod.PulumiStack.shop-2-1.history.json"},
		},
		"a person's, and another stack's": {
			there: []string{"dev-1.history.json.old.txt", "README", "dev.json", "dev-.history.json", "prod-1.history.json", "development-1.history.json", "dev--1.history.json",
				"dev-99999999999999999999.history.json", "dev-2.history.json", "dev-3.history.json", "dev-4.history.json", "dev-0.notes.json"},
			want: []string{"dev-2.history.json"},
		},
	} {
		stack := "dev"
		if strings.Contains(name, "dash") {
			stack = "prod.PulumiStack.shop-2"
		}
		if diff := cmp.Diff(c.want, outdated(c.there, stack, 2)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAHistoryIsWholeAtEveryMoment: the runner may be killed after each file that goes. What
// is listed then are the newest updates, with their copies of the state, and the next time
// nothing of the others stays.
func TestAHistoryIsWholeAtEveryMoment(t *testing.T) {
	t.Parallel()
	const updates, keep = 7, 3
	var all []string
	for at := range updates {
		all = append(all, fmt.Sprintf("dev-%d.checkpoint.json", at), fmt.Sprintf("dev-%d.history.json", at))
	}
	going := outdated(all, "dev", keep)
	if len(going) != 2*(updates-keep) {
		t.Fatalf("%d files go: %q", len(going), going)
	}
	for killed := range len(going) + 1 {
		left := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(going[:killed], name) })
		listed := 0
		for at := range updates {
			history := slices.Contains(left, fmt.Sprintf("dev-%d.history.json", at))
			if history && !slices.Contains(left, fmt.Sprintf("dev-%d.checkpoint.json", at)) {
				t.Errorf("after %d files, update %d is listed and has no state", killed, at)
			}
			if listed > 0 && !history {
				t.Errorf("after %d files, update %d is missing among newer ones", killed, at)
			}
			if history {
				listed++
			}
		}
		if listed < keep {
			t.Errorf("after %d files, %d updates are listed", killed, listed)
		}
		if next := outdated(left, "dev", keep); !slices.Equal(next, going[killed:]) {
			t.Errorf("after %d files, %q goes next, want %q", killed, next, going[killed:])
		}
	}
}
