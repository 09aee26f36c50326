package gitlab

import (
	"net/http"
	"slices"
	"strconv"
	"testing"

	gitlab "github.com/xanzy/go-gitlab"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// TestNothingIsLostWhileAListIsRead takes entries away, and moves them, between two
// pages.
func TestNothingIsLostWhileAListIsRead(t *testing.T) {
	t.Parallel()
	setup := func(change func(read int, list []int) []int) func(gitlab.ListOptions) ([]int, *gitlab.Response, error) {
		list := make([]int, 250)
		for i := range list {
			list[i] = i
		}
		read := 0
		return func(o gitlab.ListOptions) ([]int, *gitlab.Response, error) {
			read++
			list = change(read, list)
			from, to := (o.Page-1)*o.PerPage, min(o.Page*o.PerPage, len(list))
			resp := &gitlab.Response{Response: &http.Response{StatusCode: 200}, TotalItems: len(list)}
			if to < len(list) {
				resp.NextPage = o.Page + 1
			}
			return slices.Clone(list[from:to]), resp, nil
		}
	}
	for name, c := range map[string]struct {
		change func(int, []int) []int
		want   int
	}{
		"as it is": {func(_ int, l []int) []int { return l }, 250},
		"one is taken from the front": {func(read int, l []int) []int {
			if read == 2 {
				return l[1:]
			}
			return l
		}, 249},
		"one is put in front": {func(read int, l []int) []int {
			if read == 2 {
				return slices.Insert(l, 0, 999)
			}
			return l
		}, 250}, // the new one is seen the next time
		"one is taken each time": {func(_ int, l []int) []int { return l[1:] }, 0},
	} {
		got, err := pages(&call{}, setup(c.change), func(i int) int { return i }, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		sorted := slices.Clone(got)
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != len(got) {
			t.Errorf("%s: some are there twice", name)
		}
		if c.want != 0 && len(got) != c.want {
			t.Errorf("%s: %d entries, want %d", name, len(got), c.want)
		}
	}
	got, err := pages(&call{}, setup(func(_ int, l []int) []int { return l }), func(i int) int { return i }, func(i int) bool { return i == 150 })
	if err != nil || len(got) != 150 {
		t.Errorf("until the 150th: %d entries, %v", len(got), err)
	}
}

func TestLevelsArePermissions(t *testing.T) {
	t.Parallel()
	for level, want := range map[int]forge.Permission{
		0: forge.None, 5: forge.None, 10: forge.Read, 15: forge.Read, 20: forge.Read, 25: forge.Read,
		30: forge.Write, 35: forge.Write, 40: forge.Admin, 50: forge.Admin, 60: forge.Admin,
	} {
		for state, want := range map[string]forge.Permission{"active": want, "": want, "blocked": forge.None, "awaiting": forge.None} {
			if got := levelOf(gitlab.AccessLevelValue(level), state); got != want {
				t.Errorf("level %d, %q, is %q and should be %q", level, state, got, want)
			}
		}
	}
}

func levelOf(l gitlab.AccessLevelValue, state string) forge.Permission {
	return level(&gitlab.ProjectMember{AccessLevel: l, State: state})
}

func TestBotsAreKnownByName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"project_123_bot", "project_123_bot2", "project_123_bot_4ffca233d8298ea1", "group_7_bot_0abc", "service_account_group_7_abc", "support-bot", "ghost"} {
		if !botName(name) {
			t.Errorf("%s is a bot", name)
		}
	}
	for _, name := range []string{"ada", "bot", "project_bot", "my_project_1_bot_ab", "project_1_bot_ab.x", "ghostwriter", "talbot"} {
		if botName(name) {
			t.Errorf("%s is a person", name)
		}
	}
}

func TestLongTextsAreCutByCharacter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"short": "short", "two\nlines\tand more": "two lines and more", "äöüäöü": "äöü…", "äöüä": "äöüä",
	} {
		limit := 4
		if len(text) > 12 || text == "short" {
			limit = 100
		}
		if got := cut(text, limit); got != want {
			t.Errorf("%s becomes %q, want %q (%s)", text, got, want, strconv.Itoa(limit))
		}
	}
}
