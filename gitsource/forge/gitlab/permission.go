package gitlab

import (
	"context"
	"errors"
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
	users, resp, err := r.client.Users.ListUsers(&gitlab.ListUsersOptions{Username: &login}, c.opts...)
	if err != nil {
		return forge.None, c.fail(resp, err)
	}
	for _, u := range users {
		if strings.EqualFold(u.Username, login) {
			if u.State != "active" {
				return forge.None, nil
			}
			return r.permission(c, u.ID)
		}
	}
	return forge.None, nil
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
