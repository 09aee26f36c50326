package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/schema"
)

// LoginsOptions say whose logins are looked up, and where.
type LoginsOptions struct {
	Config config.Config
	// Repository is the name in the configuration; "" means the only one with a forge.
	Repository string
	// Tree are the documents that name the logins.
	Tree    *schema.Tree
	Environ []string
}

// LoginCheck is one login that documents name, and the account that has it now.
type LoginCheck struct {
	Org string `json:"org"`
	// Login is as it is written; Write is how to write it, so that it is this account and
	// no other. "" when nobody has it.
	Login string `json:"login"`
	Write string `json:"write,omitempty"`
	// By are the documents that name it.
	By     []string `json:"by"`
	Health Health   `json:"health"`
	Detail string   `json:"detail"`
}

// Logins asks a forge which accounts have the logins that documents name. It changes
// nothing.
func Logins(ctx context.Context, o LoginsOptions) ([]LoginCheck, error) {
	r, err := withForge(o.Config.Repositories, o.Repository)
	if err != nil {
		return nil, err
	}
	f, err := openForge(r, o.Environ, newTransport(r.Forge.Kind, nil))
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", r.Name, err)
	}
	known, ok := f.(forge.Accounts)
	if !ok {
		return nil, fmt.Errorf("repository %s: its forge does not tell the numbers of accounts", r.Name)
	}
	if _, err := f.OpenPullRequests(ctx); err != nil { // else a repository that cannot be seen looks like logins that nobody has
		return nil, fmt.Errorf("repository %s: %w", r.Name, err)
	}
	out := []LoginCheck{}
	for _, n := range o.Tree.Logins(string(f.Kind())) {
		u, err := known.Account(ctx, n.Login.Name)
		if err != nil && !errors.Is(err, forge.ErrNotFound) {
			return nil, fmt.Errorf("repository %s: %w", r.Name, err)
		}
		out = append(out, checkLogin(n, u))
	}
	return out, nil
}

// checkLogin compares what is written with the account that has the login; u is zero when
// none has.
func checkLogin(n schema.NamedLogin, u forge.User) LoginCheck {
	c := LoginCheck{Org: n.Org, Login: n.Login.String(), By: n.By, Health: Well}
	is := schema.Login{Via: n.Login.Via, Name: u.Login, ID: u.ID}
	switch {
	case u.ID == "" && n.Login.ID == "":
		c.Health, c.Detail = Missing, "nobody has this login: who gets it may approve"
	case u.ID == "":
		c.Health, c.Detail = Unwell, "nobody has this login any more; the account counts by its number, if it is there"
	case n.Login.ID == "":
		c.Write, c.Health, c.Detail = is.String(), Unwell, "counts by its name, whoever has it"
	case n.Login.ID != u.ID:
		c.Health, c.Detail = Unwell, "the login is another account now ("+strings.TrimPrefix(is.String(), is.Via+":")+"), which does not count; the one that is written counts by its number, if it is there"
	default:
		c.Write, c.Detail = is.String(), "this account and no other"
	}
	return c
}
