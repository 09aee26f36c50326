package github

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-github/v60/github"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

func TestTheAPIsAddress(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                                    "https://api.github.com/",
		"https://github.com":                  "https://api.github.com/",
		"https://api.github.com":              "https://api.github.com/",
		"https://ghe.example.com":             "https://ghe.example.com/api/v3/",
		"https://ghe.example.com/api/v3":      "https://ghe.example.com/api/v3/",
		"https://ghe.example.com/api/v3/":     "https://ghe.example.com/api/v3/",
		"https://api.acme.ghe.com":            "https://api.acme.ghe.com/",
		"https://example.com/behind/a/prefix": "https://example.com/behind/a/prefix/api/v3/",
	} {
		a, err := newAPI(given, nil, credential{token: func(context.Context) (string, error) { return "", nil }})
		if err != nil || a.client().BaseURL.String() != want {
			t.Errorf("%q: %v, %v, want %s", given, a, err, want)
		}
	}
}

func TestReviewsInForceOfOddHistories(t *testing.T) {
	t.Parallel()
	at := func(minute int) *github.Timestamp {
		return &github.Timestamp{Time: time.Date(2026, 3, 1, 12, minute, 0, 0, time.UTC)}
	}
	review := func(id int64, login, state string, minute int) *github.PullRequestReview {
		r := &github.PullRequestReview{ID: &id, State: &state, SubmittedAt: at(minute), CommitID: github.String("c")}
		if login != "" {
			r.User = &github.User{Login: &login}
		}
		return r
	}
	force := func(id, login string, state forge.ReviewState, minute int) forge.Review {
		return forge.Review{ID: id, Author: forge.User{Login: login}, State: state, Commit: "c", At: at(minute).Time}
	}
	for name, test := range map[string]struct {
		given []*github.PullRequestReview
		want  []forge.Review
	}{
		"none":                        {nil, nil},
		"pending is not said yet":     {[]*github.PullRequestReview{review(1, "grace", "PENDING", 0)}, nil},
		"a deleted account":           {[]*github.PullRequestReview{review(1, "", "APPROVED", 0)}, nil},
		"the newer holds, any order":  {[]*github.PullRequestReview{review(2, "grace", "CHANGES_REQUESTED", 9), review(1, "grace", "APPROVED", 1)}, []forge.Review{force("2", "grace", forge.ChangesRequested, 9)}},
		"approved after it dismissed": {[]*github.PullRequestReview{review(1, "grace", "DISMISSED", 1), review(2, "grace", "APPROVED", 2)}, []forge.Review{force("2", "grace", forge.Approved, 2)}},
		"dismissed after all":         {[]*github.PullRequestReview{review(1, "grace", "CHANGES_REQUESTED", 1), review(2, "grace", "DISMISSED", 2), review(3, "grace", "COMMENTED", 3)}, nil},
		"a state of tomorrow":         {[]*github.PullRequestReview{review(1, "grace", "APPROVED", 1), review(2, "grace", "PONDERED", 2)}, []forge.Review{force("1", "grace", forge.Approved, 1)}},
		"two people, oldest first":    {[]*github.PullRequestReview{review(1, "grace", "APPROVED", 5), review(2, "alan", "APPROVED", 2)}, []forge.Review{force("2", "alan", forge.Approved, 2), force("1", "grace", forge.Approved, 5)}},
	} {
		if diff := cmp.Diff(append([]forge.Review{}, test.want...), inForce(test.given)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzLongTextFits(f *testing.F) {
	f.Add("```diff\n+ a\n", "```\n", 9000)
	f.Add("x", "", 70_000)
	f.Add("漢字", "\n", 30_000)
	f.Add("````\n```\n", "text\n", 8000)
	f.Fuzz(func(t *testing.T, a, b string, n int) {
		if n < 0 || n > 100_000 || len(a)*n > 1<<20 || !utf8.ValidString(a) || !utf8.ValidString(b) {
			return
		}
		whole := strings.Repeat(a, n) + b
		summary, text := split(whole)
		if len(summary) > 65_535 || len(text) > 65_535 {
			t.Errorf("%d and %d bytes", len(summary), len(text))
		}
		if !utf8.ValidString(summary) || !utf8.ValidString(text) {
			t.Error("a character was cut")
		}
		if len(whole) <= checkBytes && (summary != whole || text != "") {
			t.Error("what fits was changed")
		}
	})
}
