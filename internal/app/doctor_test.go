package app

import (
	"testing"

	"github.com/stackreeve/stackreeve/internal/api"
)

func TestTheDoctorTellsHowTheDaemonsRepositoriesAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		repository api.RepositoryStatus
		health     Health
		detail     string
	}{
		{api.RepositoryStatus{Branch: "main", Commit: "0123456789abcdef"}, Well, "main 0123456"},
		{api.RepositoryStatus{Branch: "main", Commit: "0123456789abcdef", Errors: 2}, Unwell, "main 0123456: 2 errors"},
		{api.RepositoryStatus{}, Unwell, "the daemon has not read it yet"},
		{api.RepositoryStatus{Branch: "main", Commit: "0123456789abcdef", FetchError: "no such branch"}, Missing, "no such branch"},
	} {
		c.repository.Name = "infra"
		got := checkFollowed(c.repository)
		if got.Name != "repository infra" || got.Health != c.health || got.Detail != c.detail {
			t.Errorf("%+v: %+v", c.repository, got)
		}
	}
}
