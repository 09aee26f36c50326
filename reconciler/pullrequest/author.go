package pullrequest

import (
	"context"
	"errors"
	"slices"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/access"
	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// authors are who proposed what the newest round has planned: who opened the pull
// request, and who wrote, committed or pushed a commit of it. They are found when
// somebody approves, once for each head and base.
func (s *sitting) authors(ctx context.Context) ([]access.Author, error) {
	out := []access.Author{{Actor: s.f.actor(forge.User{Login: s.p.Proposal.Author, ID: s.p.Proposal.AuthorID})}}
	r := s.p.Round
	if r == nil {
		return out, nil
	}
	base, head := r.Base, r.Head
	if s.p.Landed != "" && s.p.Proposal.Head != head {
		// It was merged before its last commits were planned. What others merged since is
		// taken for a part of it: an approval too few, and none too many.
		head = s.p.Proposal.MergeCommit
	}
	if of := base + ".." + head; r.AuthorsOf != of {
		found, err := s.findAuthors(ctx, base, head)
		if err != nil {
			return nil, err
		}
		r.Authors, r.AuthorsOf = found, of
	}
	for _, a := range r.Authors {
		is := access.Author{Email: a.Email, Commit: a.Commit}
		if a.Login != "" {
			is.Actor = s.f.actor(forge.User{Login: a.Login, ID: a.ID})
		}
		out = append(out, is)
	}
	return out, nil
}

// actor is an account of the forge as one who does something here.
func (f *followed) actor(u forge.User) stackjob.Actor {
	return stackjob.Actor{Name: u.Login, Via: string(f.Forge.Kind()), ID: u.ID}
}

// findAuthors asks Git, which knows addresses, and the forge, which knows accounts.
func (s *sitting) findAuthors(ctx context.Context, base, head string) ([]pull.Author, error) {
	commits, err := s.f.Merges.Authors(ctx, base, head)
	if errors.Is(err, gitsource.ErrNoHead) {
		// The copy of the repository was lost; the next merge fetches what is missing.
		if s.p.Phase == pull.Open {
			if _, again := s.merge(ctx); again != nil {
				return nil, again
			}
		}
		commits, err = s.f.Merges.Authors(ctx, base, head)
	}
	if err != nil || len(commits) == 0 {
		return nil, err
	}
	var out []pull.Author
	var names []string
	for _, c := range commits {
		names = append(names, c.Commit)
		for _, email := range c.Emails {
			if !slices.ContainsFunc(out, func(a pull.Author) bool { return a.Email == email }) {
				out = append(out, pull.Author{Email: email, Commit: c.Commit})
			}
		}
	}
	known, ok := s.f.Forge.(forge.Contributors)
	if !ok {
		return out, nil
	}
	users, err := known.Contributors(ctx, s.key.Number, names)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		out = append(out, pull.Author{Login: u.Login, ID: u.ID})
	}
	return out, nil
}
