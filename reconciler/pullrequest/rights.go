package pullrequest

import (
	"context"
	"sync"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/reconciler/access"
	"github.com/stackreeve/stackreeve/reconciler/command"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// remembered is how long what the forge says of an account is taken for true. Whoever
// loses a right keeps it that long.
const remembered = time.Minute

// rights asks who may do what, and remembers it for a moment: a comment with ten
// commands asks once.
type rights struct {
	forge forge.Repository
	now   func() time.Time

	mu    sync.Mutex // guards what follows
	known map[string]right
	me    *forge.User
}

type right struct {
	permission forge.Permission
	at         time.Time
}

func newRights(f forge.Repository, now func() time.Time) *rights {
	return &rights{forge: f, now: now, known: map[string]right{}}
}

// of tells what an account may do with the repository.
func (r *rights) of(ctx context.Context, login string) (forge.Permission, error) {
	r.mu.Lock()
	known, ok := r.known[login]
	r.mu.Unlock()
	if ok && r.now().Sub(known.at) < remembered {
		return known.permission, nil
	}
	p, err := r.forge.Permission(ctx, login)
	if err != nil {
		return forge.None, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) > 10000 {
		clear(r.known)
	}
	r.known[login] = right{p, r.now()}
	return p, nil
}

// writes tells whether an account may write to the repository.
func (r *rights) writes(ctx context.Context, login string) (bool, error) {
	p, err := r.of(ctx, login)
	return p == forge.Write || p == forge.Admin, err
}

// permits tells whether somebody may give a command for these resources, and why not in
// one line. The forge is not asked where it does not matter what it says: whom a policy
// names to approve may do so without any right there.
func (r *rights) permits(ctx context.Context, verb command.Verb, by stackjob.Actor, cases ...access.Case) (ok bool, why string, err error) {
	if ok, why := access.MayCommand(string(verb), by, access.None, cases...); ok || verb == command.Override {
		return ok, why, nil
	}
	p, err := r.of(ctx, by.Name)
	if err != nil {
		return false, "", err
	}
	ok, why = access.MayCommand(string(verb), by, access.Permission(p), cases...)
	return ok, why, nil
}

// self is the daemon's own account.
func (r *rights) self(ctx context.Context) (forge.User, error) {
	r.mu.Lock()
	me := r.me
	r.mu.Unlock()
	if me != nil {
		return *me, nil
	}
	u, err := r.forge.Self(ctx)
	if err != nil {
		return u, err
	}
	r.mu.Lock()
	r.me = &u
	r.mu.Unlock()
	return u, nil
}
