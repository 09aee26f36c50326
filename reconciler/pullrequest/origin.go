package pullrequest

import (
	"context"
	"net/url"
	"strings"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/pull"
)

// originOf names the repository on the forge that a pull request is in. The forge's id
// outlives another name of the repository; its number means something on its own server
// only.
func originOf(pr forge.PullRequest, name string) string {
	host := ""
	if u, err := url.Parse(pr.URL); err == nil {
		host = strings.ToLower(u.Host)
	}
	if pr.RepositoryID == "" {
		return host + "/" + strings.ToLower(name)
	}
	return host + "#" + pr.RepositoryID
}

// origin is the repository on the forge that is followed; "" before the forge was asked.
func (f *followed) origin() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *followed) setOrigin(at string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = at
}

// replace begins a new record where the old one is of another repository's pull request:
// the name in the configuration came to stand for another one. What the old one has under
// way ends first, as for one that the forge has no longer. over is false as long as an
// apply of it runs.
func (s *sitting) replace(ctx context.Context) (over bool, err error) {
	if s.p.Phase != pull.Done {
		busy, err := s.ending(ctx)
		if err != nil {
			return false, err
		}
		if busy {
			s.l.askSoon(s.key, soon)
			return false, nil
		}
		s.l.log.Info("a pull request of another repository is over", "pull", s.key.String(), "title", s.p.Proposal.Title)
		if err := s.finish(ctx); err != nil {
			return false, err
		}
	}
	s.p = pull.Pull{Key: s.key, Phase: pull.Open, CreatedAt: s.now()}
	return true, nil
}
