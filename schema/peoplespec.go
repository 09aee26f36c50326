package schema

import (
	"encoding/json"
	"strings"

	"github.com/invopop/jsonschema"
)

// accountSpec is the spec of kind IdentityAccount: Planton's fields, then ours.
type accountSpec struct {
	IdentityAccountType string `json:"identityAccountType,omitempty" jsonschema_description:"What sort of account it is, for people."`
	IdpID               string `json:"idpId,omitempty" jsonschema_description:"The account at the identity provider, for people."`
	Email               string `json:"email,omitempty" jsonschema_description:"The person's e-mail address."`
	FirstName           string `json:"firstName,omitempty"`
	LastName            string `json:"lastName,omitempty"`
	Picture             string `json:"picture,omitempty" jsonschema_description:"A picture for pages that show the person."`
	GithubUsername      string `json:"githubUsername,omitempty" jsonschema_description:"The login on GitHub; the same as an entry of logins."`

	DisplayName         string      `json:"displayName,omitempty" jsonschema_description:"How the person is called; without it the first and last name."`
	Emails              []string    `json:"emails,omitempty" jsonschema_description:"Further e-mail addresses; commits are known by them."`
	Logins              []loginSpec `json:"logins,omitempty" jsonschema_description:"The person's accounts on the forge that the repository is on."`
	OperatingSystemUser string      `json:"operatingSystemUser,omitempty" jsonschema_description:"The user of the daemon's machine that the person works as, over its socket."`
	TokenName           string      `json:"tokenName,omitempty" jsonschema_description:"The name of the person's API token in the daemon's configuration."`
}

// loginSpec is an account on a forge: {forge, login}, or "github:ada".
type loginSpec struct {
	Forge string `json:"forge"`
	Login string `json:"login"`
}

// JSONSchema is the schema of both forms.
func (loginSpec) JSONSchema() *jsonschema.Schema {
	props := jsonschema.NewProperties()
	props.Set("forge", &jsonschema.Schema{Type: "string", Enum: toAnys(Forges()), Description: "The forge; gitea is Forgejo too."})
	props.Set("login", &jsonschema.Schema{Type: "string", MinLength: new(uint64(1)), Description: "The login, without @, and the account's number after # where it is to be that account alone: ada#123. Upper and lower case are the same."})
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
		{Type: "string", MinLength: new(uint64(1)), Description: "The forge and the login: github:ada; with the account's number: github:ada#123."},
		{Type: "object", Properties: props, Required: []string{"forge", "login"}, AdditionalProperties: jsonschema.FalseSchema},
	}}
}

// UnmarshalJSON reads both forms; what is no login is told by its forge "".
func (l *loginSpec) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		if p, ok := parseLogin(s); ok {
			l.Forge, l.Login = p.Via, strings.TrimPrefix(s, p.Via+":")
		}
		return nil
	}
	type object loginSpec
	return json.Unmarshal(b, (*object)(l))
}

// teamSpec is the spec of kind Team.
type teamSpec struct {
	Description string       `json:"description,omitempty" jsonschema_description:"What the team is."`
	Members     []memberSpec `json:"members,omitempty" jsonschema_description:"Who is in the team."`
}

// memberSpec is a member: the slug of an IdentityAccount or a forge's login as text, or
// Planton's form.
type memberSpec struct {
	Text       string `json:"-"`
	MemberType string `json:"memberType,omitempty" jsonschema_description:"identity_account; a team cannot be a member."`
	MemberID   string `json:"memberId,omitempty" jsonschema_description:"The metadata.id of an IdentityAccount."`
	Email      string `json:"email,omitempty" jsonschema_description:"An e-mail address of an IdentityAccount."`
	Name       string `json:"name,omitempty" jsonschema_description:"The name, for people."`
	Slug       string `json:"slug,omitempty" jsonschema_description:"The slug of an IdentityAccount."`
	Avatar     string `json:"avatar,omitempty" jsonschema_description:"A picture for pages that show the member."`
}

// JSONSchema is the schema of both forms.
func (memberSpec) JSONSchema() *jsonschema.Schema {
	type object memberSpec
	planton := reflector().Reflect(object{})
	planton.Version = ""
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
		{Type: "string", MinLength: new(uint64(1)), Description: "The slug of an IdentityAccount, or a forge and a login: github:ada; with the account's number: github:ada#123."},
		planton,
	}}
}

// UnmarshalJSON reads both forms.
func (m *memberSpec) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &m.Text)
	}
	type object memberSpec
	return json.Unmarshal(b, (*object)(m))
}

// approvalsSpec is spec.approvals of a policy.
type approvalsSpec struct {
	Required         *int     `json:"required,omitempty" jsonschema:"minimum=0,maximum=100" jsonschema_description:"How many different persons must approve a plan; 1 when from is given."`
	From             []string `json:"from,omitempty" jsonschema_description:"Who counts: team/NAME, the slug of an IdentityAccount, or a forge and a login (github:ada, or github:ada#123 with the account's number). Without it everybody who may act."`
	AuthorMayApprove bool     `json:"authorMayApprove,omitempty" jsonschema_description:"Who proposed the change counts too."`
	ByReview         bool     `json:"byReview,omitempty" jsonschema_description:"An approving review on the forge counts for the plans that were shown when it was written."`
}

// overrideSpec is spec.override of a policy.
type overrideSpec struct {
	From []string `json:"from" jsonschema:"minItems=1" jsonschema_description:"Who may go past the approvals, with a reason: team/NAME, the slug of an IdentityAccount, or a forge and a login (github:ada, or github:ada#123 with the account's number)."`
}
