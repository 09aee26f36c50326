package gitlab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	gitlab "github.com/xanzy/go-gitlab"
)

// Permission tells what an account may do with the project: as a member of it or of a
// group above, else by the project being public. Developers may write; maintainers and
// owners are admins.
func (r *Repository) Permission(ctx context.Context, login string) (forge.Permission, error) {
	if login == "" { // GitLab would list everybody
		return forge.None, nil
	}
	c, err := r.begin(ctx, "ask what "+login+" may do")
	if err != nil {
		return forge.None, err
	}
	u, err := r.find(c, login)
	if err != nil || u == nil || u.State != "active" {
		return forge.None, err
	}
	return r.permission(c, u.ID)
}

// Account returns the account that has a login.
func (r *Repository) Account(ctx context.Context, login string) (forge.User, error) {
	c, err := r.begin(ctx, "ask who "+login+" is")
	if err != nil {
		return forge.User{}, err
	}
	var u *gitlab.User
	if login != "" { // GitLab would list everybody
		if u, err = r.find(c, login); err != nil {
			return forge.User{}, err
		}
	}
	if u == nil {
		return forge.User{}, &forge.CallError{Call: c.what, Class: forge.Person, Err: fmt.Errorf("%w: nobody has that login", forge.ErrNotFound)}
	}
	return forge.User{Login: u.Username, ID: accountID(u.ID), Bot: u.Bot || botName(u.Username)}, nil
}

// find looks for the account that has a login; nil for none.
func (r *Repository) find(c *call, login string) (*gitlab.User, error) {
	users, resp, err := r.client.Users.ListUsers(&gitlab.ListUsersOptions{Username: &login}, c.opts...)
	if err != nil {
		return nil, c.fail(resp, err)
	}
	if i := slices.IndexFunc(users, func(u *gitlab.User) bool { return strings.EqualFold(u.Username, login) }); i >= 0 {
		return users[i], nil
	}
	return nil, nil
}

func (r *Repository) permission(c *call, user int) (forge.Permission, error) {
	m, resp, err := r.client.ProjectMembers.GetInheritedProjectMember(r.project, user, c.opts...)
	if err == nil {
		return level(m), nil
	}
	if failed := c.fail(resp, err); !errors.Is(failed, forge.ErrNotFound) {
		return forge.None, failed
	}
	// Not a member, or no such project.
	p, resp, err := r.client.Projects.GetProject(r.project, nil, c.opts...)
	if err != nil {
		return forge.None, c.fail(resp, err)
	}
	if p.Visibility == gitlab.PublicVisibility || p.Visibility == gitlab.InternalVisibility {
		return forge.Read, nil
	}
	return forge.None, nil
}

// level reads a membership. Levels between the known ones count as the one below.
func level(m *gitlab.ProjectMember) forge.Permission {
	switch l := m.AccessLevel; {
	case m.State != "" && m.State != "active":
		return forge.None
	case l >= gitlab.MaintainerPermissions:
		return forge.Admin
	case l >= gitlab.DeveloperPermissions:
		return forge.Write
	case l >= gitlab.GuestPermissions:
		return forge.Read
	}
	return forge.None
}
