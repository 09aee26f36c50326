package gitlab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// shortSHA is how much of a commit's name stands in a note of GitLab's.
const shortSHA = 8

// Contributors are who pushed the commits since the merge request was made: GitLab writes
// a note of its own for each push, by who pushed, that lists them. It tells nobody whose
// an address is, so who wrote what was pushed before is known from accounts alone.
func (r *Repository) Contributors(ctx context.Context, number int, commits []string) ([]forge.User, error) {
	notes, err := r.notes(ctx, fmt.Sprintf("list the pushes to merge request !%d", number), number, time.Time{})
	if err != nil {
		return nil, err
	}
	var out []forge.User
	for _, n := range notes {
		listed := func(c string) bool { return len(c) >= shortSHA && strings.Contains(n.Body, "<li>"+c[:shortSHA]+" - ") }
		if !n.System || !strings.HasPrefix(n.Body, "added ") || !slices.ContainsFunc(commits, listed) {
			continue
		}
		user, err := r.user(ctx, n.Author.ID, n.Author.Username)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, user) {
			out = append(out, user)
		}
	}
	return out, nil
}
