package gitea

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	sdk "code.gitea.io/sdk/gitea"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// Permission asks what an account may do. To ask for others' the own account must be an
// administrator of the repository.
//
// Gitea's answer leaves out what a team gives, unless that is everything. It is found
// out from the lists of those who may be assigned and of the repository's teams; where
// these leave it open, because a team may review but not push, the teams are asked for
// their members, which they tell only to members and to owners of the organization.
// Who cannot be shown to be allowed to write may read.
func (r *Repository) Permission(ctx context.Context, login string) (forge.Permission, error) {
	if login == "" {
		return forge.None, nil
	}
	what := "ask what " + login + " may do"
	var p *sdk.CollaboratorPermissionResult
	err := r.call(ctx, what, func(c *sdk.Client) (resp *sdk.Response, err error) {
		p, resp, err = c.CollaboratorPermission(r.owner, r.name, login)
		return resp, err
	})
	var failed *forge.CallError
	switch {
	case errors.Is(err, forge.ErrNotFound):
		// The account or the repository? It makes a difference.
		return forge.None, r.call(ctx, what, func(c *sdk.Client) (*sdk.Response, error) {
			_, resp, err := c.GetRepo(r.owner, r.name)
			return resp, err
		})
	case errors.As(err, &failed) && failed.Status == http.StatusForbidden:
		failed.Err = fmt.Errorf("%w (the account must be an administrator of the repository to ask for others)", failed.Err)
		return forge.None, failed
	case err != nil:
		return forge.None, err
	}
	own := forge.None
	switch p.Permission {
	case sdk.AccessModeOwner, sdk.AccessModeAdmin:
		return forge.Admin, nil
	case sdk.AccessModeWrite:
		return forge.Write, nil
	case sdk.AccessModeRead:
		own = forge.Read
	}
	return r.inTeams(ctx, what, login, own)
}

// inTeams is what an account may do that by itself may do what is given.
func (r *Repository) inTeams(ctx context.Context, what, login string, own forge.Permission) (forge.Permission, error) {
	var assignable []*sdk.User
	err := r.call(ctx, what, func(c *sdk.Client) (resp *sdk.Response, err error) {
		assignable, resp, err = c.GetAssignees(r.owner, r.name)
		return resp, err
	})
	if err != nil {
		return forge.None, err
	}
	if !slices.ContainsFunc(assignable, func(u *sdk.User) bool { return strings.EqualFold(u.UserName, login) }) {
		return own, nil
	}
	var teams []*sdk.Team
	err = r.call(ctx, what, func(c *sdk.Client) (resp *sdk.Response, err error) {
		teams, resp, err = c.GetRepoTeams(r.owner, r.name)
		return resp, err
	})
	var failed *forge.CallError
	switch {
	case errors.As(err, &failed) && failed.Status == http.StatusMethodNotAllowed: // an account's own repository
		return own, nil
	case err != nil:
		return forge.None, err
	}
	// Who can be assigned is in a team that makes one so. If each of those may write,
	// it need not be known which.
	assigning := slices.DeleteFunc(slices.Clone(teams), func(t *sdk.Team) bool { return !makesAssignable(t) })
	if len(assigning) > 0 && !slices.ContainsFunc(assigning, func(t *sdk.Team) bool { return !mayWrite(t) }) {
		return forge.Write, nil
	}
	for _, team := range assigning {
		if !mayWrite(team) {
			continue
		}
		err := r.call(ctx, what, func(c *sdk.Client) (*sdk.Response, error) {
			_, resp, err := c.GetTeamMember(team.ID, login)
			return resp, err
		})
		switch {
		case err == nil:
			return forge.Write, nil
		case errors.As(err, &failed) && (failed.Status == http.StatusForbidden || failed.Status == http.StatusNotFound): // it does not tell us, or is none
		default:
			return forge.None, err
		}
	}
	return forge.Read, nil
}

// mayWrite tells whether a team's members may push.
func mayWrite(t *sdk.Team) bool {
	return isWriting(string(t.Permission)) || isWriting(t.UnitsMap[string(sdk.RepoUnitCode)])
}

// makesAssignable is Gitea's own rule (GetRepoAssignees).
func makesAssignable(t *sdk.Team) bool {
	return isWriting(string(t.Permission)) || slices.ContainsFunc(slices.Collect(maps.Values(t.UnitsMap)), isWriting) ||
		t.UnitsMap[string(sdk.RepoUnitPulls)] == string(sdk.AccessModeRead)
}

func isWriting(mode string) bool {
	return slices.Contains([]sdk.AccessMode{sdk.AccessModeWrite, sdk.AccessModeAdmin, sdk.AccessModeOwner}, sdk.AccessMode(mode))
}
