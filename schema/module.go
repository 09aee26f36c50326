package schema

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// moduleSource turns a module's place as written into a ModuleSource.
func (r *reader) moduleSource(m *moduleSpec, f *field) (ModuleSource, bool) {
	at := f.val.at
	if !f.val.isScalar() {
		at = f.keyAt
	}
	if m.Git == nil && userAndPassword.MatchString(m.Path) {
		return r.credential(at)
	}
	if m.Git == nil && isGitURL(m.Path) {
		g, err := parseGitSource(m.Path)
		if err != nil {
			r.hide(&value{kind: stringValue, at: at})
			r.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: err.Error()}, at)
			return ModuleSource{}, false
		}
		m = &moduleSpec{Git: g}
	}
	if m.Git != nil {
		for _, name := range []string{"url", "cloneUrl"} {
			g := &f.val
			if inner, ok := g.get("git"); ok {
				g = &inner.val
			}
			if u, ok := g.get(name); ok {
				at = u.val.at
			}
		}
		return r.gitSource(m.Git, at)
	}
	p, ok := r.localPath(m.Path)
	if !ok {
		r.report(diag.Diagnostic{Code: diag.InvalidValue, Found: fmt.Sprintf("%q", m.Path),
			Expected: "a folder inside of the repository"}, at)
		return ModuleSource{}, false
	}
	return ModuleSource{Path: p}, true
}

// localPath gives the folder from the root of the repository: "/x" is meant from there,
// "./x" and "../x" from the document's folder, and "x" from the organization's.
func (r *reader) localPath(p string) (string, bool) {
	var from string
	switch {
	case strings.HasPrefix(p, "/"):
		p = strings.TrimLeft(p, "/")
	case p == "." || p == ".." || strings.HasPrefix(p, "./") || strings.HasPrefix(p, "../"):
		from = path.Dir(r.text.path)
	default:
		from = r.orgFolder()
	}
	joined := path.Join(from, p)
	if joined == ".." || strings.HasPrefix(joined, "../") || strings.ContainsAny(p, "\\\x00") {
		return "", false
	}
	if joined == "." {
		joined = ""
	}
	return joined, true
}

// orgFolder is the organization's folder as it is written, "." for the platform.
func (r *reader) orgFolder() string {
	if r.layout.scope.org == "" {
		return "."
	}
	folder, _, _ := strings.Cut(r.text.path, "/")
	return folder
}

func isGitURL(s string) bool {
	return strings.Contains(s, "://") || strings.HasPrefix(s, "git::") || isSCP(s)
}

// isSCP tells whether s is Git's short form of an ssh address, user@host:path.
func isSCP(s string) bool {
	at, colon, slash := strings.Index(s, "@"), strings.LastIndex(s, ":"), strings.Index(s, "/")
	return at > 0 && colon > at && (slash < 0 || slash > colon)
}

// userAndPassword finds the beginning of an address with both, also in one that is no
// proper URL.
var userAndPassword = regexp.MustCompile(`^[^@]*[^/:@\s]:[^/@\s]+@`)

// credential refuses a URL that holds one, without showing it.
func (r *reader) credential(at place) (ModuleSource, bool) {
	r.hide(&value{kind: stringValue, at: at})
	r.report(diag.Diagnostic{Code: diag.CredentialInURL, Detail: "a module's URL with user or password",
		Hint: "take them out of the URL, and out of the repository's history"}, at)
	return ModuleSource{}, false
}

// parseGitSource reads "https://host/repository.git//folder?ref=v1", as Terraform
// writes module sources and ModuleSource.String prints them.
func parseGitSource(s string) (*gitSpec, error) {
	g := &gitSpec{URL: strings.TrimPrefix(s, "git::")}
	if before, query, ok := strings.Cut(g.URL, "?"); ok {
		q, err := url.ParseQuery(query)
		if err != nil {
			return nil, errors.New("the query of the module's URL cannot be read")
		}
		g.URL, g.Ref = before, q.Get("ref")
		q.Del("ref")
		if len(q) > 0 {
			return nil, errors.New("the only query that a module's URL can have is ref")
		}
	}
	start := 0
	if i := strings.Index(g.URL, "://"); i >= 0 {
		start = i + 3
	}
	if i := strings.Index(g.URL[start:], "//"); i >= 0 {
		g.URL, g.Path = g.URL[:start+i], g.URL[start+i+2:]
	}
	return g, nil
}

// gitSource checks a Git source. The URL is never quoted: it may hold a credential.
func (r *reader) gitSource(g *gitSpec, at place) (ModuleSource, bool) {
	fail := func(d diag.Diagnostic) (ModuleSource, bool) {
		r.report(d, at)
		return ModuleSource{}, false
	}
	if userAndPassword.MatchString(g.URL) {
		return r.credential(at)
	}
	if !isSCP(g.URL) {
		u, err := url.Parse(g.URL)
		if err != nil {
			return fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "the module's URL cannot be read", Expected: "https://host/path or ssh://git@host/path"})
		}
		if _, has := u.User.Password(); has || u.User != nil && u.Scheme != "ssh" {
			return r.credential(at)
		}
		if u.RawQuery != "" || u.Fragment != "" {
			r.hide(&value{kind: stringValue, at: at})
			return fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "the module's URL has a query or a fragment", Expected: "a URL that ends with the repository's path"})
		}
		if u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh" || u.Host == "" {
			return fail(diag.Diagnostic{Code: diag.InvalidValue, Found: fmt.Sprintf("a URL of scheme %q", u.Scheme),
				Expected: "https://host/path or ssh://git@host/path"})
		}
	}
	if strings.HasPrefix(g.Ref, "-") || strings.ContainsAny(g.Ref, " \t\n\x00:~^?*[\\") {
		return fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "ref", Found: fmt.Sprintf("%q", g.Ref), Expected: "a branch, a tag or a commit hash"})
	}
	p := path.Clean("/" + g.Path)[1:]
	if strings.HasPrefix(path.Clean(g.Path), "..") {
		return fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "path", Found: fmt.Sprintf("%q", g.Path), Expected: "a folder inside of the repository"})
	}
	return ModuleSource{Path: p, URL: g.URL, Ref: g.Ref}, true
}

// local adds a source that must exist to a list.
func (r *reader) local(l []localSource, src ModuleSource, p Provisioner, f *field) []localSource {
	if !src.IsLocal() {
		return l
	}
	at := f.val.at
	if pf, ok := f.val.get("path"); ok {
		at = pf.val.at
	}
	return append(l, localSource{path: src.Path, provisioner: p,
		missing: r.text.show(diag.Diagnostic{Code: diag.MissingModule, Detail: fmt.Sprintf("folder %q", "/"+src.Path)}, at)})
}

// stackSource is local for a stack, whose kind says which code it runs.
func (r *reader) stackSource(l []localSource, src ModuleSource, p Provisioner, f *field) []localSource {
	n := len(l)
	l = r.local(l, src, p, f)
	for i := range l[n:] {
		l[n+i].otherCode = "there is a Pulumi program: use a PulumiStack"
		if p == Pulumi {
			l[n+i].otherCode = "there is Terraform code: use a TerraformStack"
		}
	}
	return l
}

// check gives the diagnostic for a source whose folder holds no module, or one that
// cannot be run.
func (l *localSource) check(s *state, src Source) (diag.Diagnostic, bool) {
	key := path.Clean(l.path)
	d := l.missing
	folders := s.folders
	c := folders[key]
	switch {
	case l.provisioner == Pulumi && c != nil && c.pulumi > 0:
		return l.checkProject(projectIn(s.entries, key))
	case l.provisioner != Pulumi && c != nil && c.terraform > 0:
		return d, false
	}
	d.Found, d.Expected = "no such folder", "a folder with *.tf files"
	if _, ok := src.FolderHash(l.path); ok {
		d.Found = "a folder without *.tf files" // it is the one that was meant
		if c != nil {
			d.Hint = l.otherCode
		}
	} else if near := nearest(key, sortedKeys(folders)); near != "" {
		d.Hint = fmt.Sprintf("did you mean %q?", "/"+near)
	}
	if l.provisioner == Pulumi {
		d.Expected = "a folder with a Pulumi.yaml"
		d.Found = strings.Replace(d.Found, "*.tf files", "a Pulumi.yaml", 1)
	}
	return d, true
}

// schemaError reports why a component's schema does not compile, at its place.
func (r *reader) schemaError(f *field, err error) {
	var sv *jsonschema.SchemaValidationError
	var ve *jsonschema.ValidationError
	if !errors.As(err, &sv) || !errors.As(sv.Err, &ve) {
		r.report(diag.Diagnostic{Code: diag.InvalidSchema, Detail: schemaMessage(err)}, f.keyAt)
		return
	}
	c := &checker{walker: &walker{reporter: r.reporter}, root: &f.val, rootKey: f.keyAt, shape: anyShape, name: "schema"}
	leaves := c.leaves(ve)
	if len(leaves) == 0 {
		r.report(diag.Diagnostic{Code: diag.InvalidSchema, Detail: "it does not fit the rules of JSON Schema"}, f.keyAt)
		return
	}
	before := len(r.findings)
	c.explain(leaves[0])
	for i := before; i < len(r.findings); i++ {
		d := &r.findings[i]
		if d.Detail == "" {
			d.Detail = d.Code.Summary()
		}
		d.Code = diag.InvalidSchema
	}
}

// schemaMessage is the validator's message without the loader's own URL in it.
func schemaMessage(err error) string {
	var load *jsonschema.LoadURLError
	if errors.As(err, &load) {
		return load.Err.Error()
	}
	s := strings.ReplaceAll(err.Error(), schemaURL, "")
	return strings.Join(strings.Fields(strings.ReplaceAll(s, `""`, "the schema")), " ")
}
