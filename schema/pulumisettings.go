package schema

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// maxPulumiName is how long Pulumi lets the name of a stack or project be.
const maxPulumiName = 100

// pulumiOrganization is what Pulumi Cloud allows for an organization.
var pulumiOrganization = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{1,38}[a-zA-Z0-9]$`)

// onlyOrganization is the organization of every backend but Pulumi Cloud.
const onlyOrganization = "organization"

// setting is one text of the settings with the place that it comes from.
type setting struct {
	text string
	at   place
	// field is its name in messages; inSpec says that it is one of the spec's.
	field  string
	inSpec bool
}

func (s *setting) given() bool { return s.field != "" }

// pulumiSettings settles which of Pulumi's stacks the resource is: what the spec says
// counts before annotations and labels, and those before the defaults. v is the walked
// spec; nil without one.
func (b *resourceBinder) pulumiSettings(spec *pulumiStackSpec, v *value) {
	p := &PulumiSettings{Stack: b.res.Key.Env + "." + b.res.Key.Kind + "." + b.res.Key.Name, SecretsProvider: PassphraseProvider}
	b.res.Pulumi = p
	organization, project, name := b.pulumiNames()
	backend, key := b.pulumiKey("backend.url"), b.pulumiKey("secrets-provider")
	if v != nil {
		if spec.Backend != nil {
			backend = inSpec(v, string(spec.Backend.URL), "backend", "url")
		}
		if spec.SecretsProvider != "" {
			key = inSpec(v, string(spec.SecretsProvider), "secretsProvider")
		}
		if s := spec.Stack; s != nil {
			for _, part := range []struct {
				to   *setting
				text string
				name string
			}{{&organization, s.Organization, "organization"}, {&project, s.Project, "project"}, {&name, s.Name, "name"}} {
				if f := inSpec(v, part.text, "stack", part.name); f.given() {
					*part.to = f
				}
			}
		}
	}
	if backend.given() && b.backendURL(&backend) {
		p.BackendURL = backend.text
	}
	if key.given() && b.secretsProvider(&key) {
		p.SecretsProvider = key.text
	}
	if project.given() && b.pulumiName(&project) {
		p.Project = project.text
	}
	if name.given() {
		if b.pulumiName(&name) {
			p.Stack = name.text
		}
	} else if n := len(p.Stack); n > maxPulumiName {
		hint := "name the stack in the annotation pulumi.stackreeve.dev/stack.name"
		if b.e.Kind == KindPulumiStack {
			hint = "name it in spec.stack.name"
		}
		b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "the stack's name at Pulumi, <env>.<Kind>.<name>", Found: fmt.Sprintf("%d characters", n),
			Expected: fmt.Sprintf("at most %d", maxPulumiName), Hint: hint}, b.e.kindAt)
	}
	if organization.given() {
		b.organization(p, &organization)
	}
}

// inSpec is a text of the spec; not given when the field is not there.
func inSpec(v *value, text string, fields ...string) setting {
	for i, name := range fields {
		f, ok := v.get(name)
		if !ok {
			return setting{}
		}
		if v = &f.val; i == len(fields)-1 {
			return setting{text: text, at: f.val.at, field: "spec." + strings.Join(fields, "."), inSpec: true}
		}
	}
	return setting{}
}

// pulumiKey is a key of annotations or labels.
func (b *resourceBinder) pulumiKey(name string) setting {
	if text, at, ok := b.executionKey("pulumi.", name); ok {
		return setting{text: text, at: at, field: name}
	}
	return setting{}
}

// pulumiNames reads Planton's keys: the whole name before its parts.
func (b *resourceBinder) pulumiNames() (organization, project, name setting) {
	whole := b.pulumiKey("stack.fqdn")
	if !whole.given() {
		return b.pulumiKey("organization"), b.pulumiKey("project"), b.pulumiKey("stack.name")
	}
	parts := strings.Split(whole.text, "/")
	if len(parts) != 3 {
		b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: whole.field, Found: fmt.Sprintf("%q", whole.text), Expected: "organization/project/stack"}, whole.at)
		return setting{}, setting{}, setting{}
	}
	part := func(i int, what string) setting {
		return setting{text: parts[i], at: whole.at, field: "the " + what + " in " + whole.field}
	}
	return part(0, "organization"), part(1, "project"), part(2, "stack")
}

// pulumiName checks the name of a project or stack.
func (b *resourceBinder) pulumiName(s *setting) bool {
	if isPulumiName(s.text) {
		return true
	}
	b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: s.field, Found: fmt.Sprintf("%q", s.text), Expected: pulumiNameText}, s.at)
	return false
}

// organization takes over an organization where the backend has any. Elsewhere the name
// that manifests of Planton carry along is left out, and one in our own document refused.
func (b *resourceBinder) organization(p *PulumiSettings, s *setting) {
	switch {
	case !pulumiOrganization.MatchString(s.text):
		b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: s.field, Found: fmt.Sprintf("%q", s.text),
			Expected: "3 to 40 letters, digits, hyphens and underscores, the first and last a letter or digit"}, s.at)
	case strings.HasPrefix(p.BackendURL, "https:"):
		p.Organization = s.text
	case s.text == onlyOrganization:
	case s.inSpec:
		b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: s.field, Found: fmt.Sprintf("%q", s.text),
			Expected: "no organization, unless backend.url is Pulumi Cloud's"}, s.at)
	default:
		b.report(diag.Diagnostic{Code: diag.FieldNotUsed, Severity: diag.Warning, Detail: s.field, Found: fmt.Sprintf("%q", s.text),
			Expected: "an organization only at Pulumi Cloud; other backends have none"}, s.at)
	}
}

// backendEnvironment are the schemes of backends, with the environment variable by
// which a job gets the credentials of each.
var backendEnvironment = map[string]string{"file": "", "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "gs": "GOOGLE_CREDENTIALS",
	"azblob": "AZURE_STORAGE_KEY", "postgres": "PGPASSWORD", "https": "PULUMI_ACCESS_TOKEN"}

// keyEnvironment are those of the keys that encrypt secrets.
var keyEnvironment = map[string]string{"awskms": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "azurekeyvault": "AZURE_CLIENT_SECRET",
	"gcpkms": "GOOGLE_CREDENTIALS", "hashivault": "VAULT_SERVER_TOKEN"}

// credentialQuery are names of parameters that hold a credential.
var credentialQuery = regexp.MustCompile(`(?i)(password|passwd|passphrase|secret|token|access_?key|account_?key|credential|^sas|^sig$)`)

// parsedURL reads the URL of a setting and refuses credentials in it. The text is never
// shown: it may hold one.
func (b *resourceBinder) parsedURL(s *setting, schemes map[string]string) (*url.URL, bool) {
	refuse := func(d diag.Diagnostic) (*url.URL, bool) {
		b.hide(&value{kind: stringValue, at: s.at})
		d.Detail = s.field + d.Detail
		b.fail(d, s.at)
		return nil, false
	}
	u, err := url.Parse(s.text)
	if userAndPassword.MatchString(s.text) || err == nil && holdsCredential(u) {
		hint := "take it out of the URL, and out of the repository's history"
		if err == nil && schemes[u.Scheme] != "" {
			hint = fmt.Sprintf("give it to jobs as %s (jobs.environment in reeve.yaml), and take it out of the repository's history", schemes[u.Scheme])
		}
		return refuse(diag.Diagnostic{Code: diag.CredentialInURL, Hint: hint})
	}
	names := sortedKeys(schemes)
	if err != nil {
		return refuse(diag.Diagnostic{Code: diag.InvalidValue, Found: "a text that is no URL", Expected: "a URL of scheme " + strings.Join(names, ", ")})
	}
	if _, ok := schemes[u.Scheme]; !ok {
		found := "a text that is no URL"
		if u.Scheme != "" && strings.HasPrefix(s.text[len(u.Scheme):], "://") {
			found = fmt.Sprintf("a URL of scheme %q", u.Scheme)
		}
		return refuse(diag.Diagnostic{Code: diag.InvalidValue, Found: found, Expected: "a URL of scheme " + strings.Join(names, ", "), Hint: didYouMean(u.Scheme, names)})
	}
	if u.Opaque != "" || u.Fragment != "" {
		return refuse(diag.Diagnostic{Code: diag.InvalidValue, Found: "a URL of another form", Expected: u.Scheme + "://…, without a fragment"})
	}
	return u, true
}

// holdsCredential tells whether a URL holds more than where something is. A database's
// user is no secret.
func holdsCredential(u *url.URL) bool {
	if u.User != nil {
		if _, has := u.User.Password(); has || u.Scheme != "postgres" {
			return true
		}
	}
	q, err := url.ParseQuery(u.RawQuery)
	return err != nil || slices.ContainsFunc(sortedKeys(q), credentialQuery.MatchString)
}

// backendURL checks where Pulumi is to keep the state.
func (b *resourceBinder) backendURL(s *setting) bool {
	u, ok := b.parsedURL(s, backendEnvironment)
	if !ok {
		return false
	}
	want := ""
	switch u.Scheme {
	case "file":
		if u.Host != "" || !path.IsAbs(u.Path) {
			want = "file:// and an absolute path: file:///srv/pulumi"
		}
	case "postgres":
		if u.Host == "" || strings.Trim(u.Path, "/") == "" {
			want = "postgres://host/database"
		}
	case "https":
		if u.Host == "" || u.RawQuery != "" {
			want = "https://host, without a query"
		}
	default:
		if u.Host == "" {
			want = u.Scheme + "://bucket"
		}
	}
	if want != "" {
		b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: s.field, Found: "a URL of another form", Expected: want}, s.at)
	}
	return want == ""
}

// secretsProvider checks with what Pulumi is to encrypt secrets.
func (b *resourceBinder) secretsProvider(s *setting) bool {
	if s.text == PassphraseProvider {
		return true
	}
	if !strings.Contains(s.text, ":") {
		names := append([]string{PassphraseProvider}, sortedKeys(keyEnvironment)...)
		b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: s.field, Expected: PassphraseProvider + ", or a URL of scheme " + strings.Join(names[1:], ", "),
			Hint: didYouMean(s.text, names)}, s.at)
		return false
	}
	u, ok := b.parsedURL(s, keyEnvironment)
	if ok && u.Host == "" && strings.Trim(u.Path, "/") == "" {
		b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: s.field, Found: "a URL that names no key", Expected: u.Scheme + "://, followed by the key"}, s.at)
		return false
	}
	return ok
}
