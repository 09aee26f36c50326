package schema

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// envelope is a document as far as every kind is alike: its metadata read, its spec
// not yet looked into.
type envelope struct {
	Document
	kindAt, at place
	spec       *field
	// relationships are the edges that metadata names.
	relationships []relationship
	// metaAt is where metadata's entries stand, for what is found out later.
	metaAt map[string]place
	// bad says that an error was reported: the document is left out.
	bad bool
}

type relationship struct {
	kind, env, name, typ string
	at                   place
}

var envelopeFields = []string{"apiVersion", "kind", "metadata", "spec", "status"}

// RelationshipTypes are the types of metadata.relationships; each is an edge.
var RelationshipTypes = []string{"depends_on", "runs_on", "managed_by", "uses"}

// reader reads the documents of one file.
type reader struct {
	*reporter
	layout layout
}

// looksLikeOurs tells whether a value is a document whose apiVersion belongs to
// Stackreeve or a Planton generation; other YAML may stand among modules.
func looksLikeOurs(v *value) bool {
	a, ok1 := v.getEither("apiVersion")
	k, ok2 := v.get("kind")
	return ok1 && ok2 && k.val.kind == stringValue && a.val.kind == stringValue && isKnownGroup(a.val.text)
}

// knownDomains are the domains of the API groups of all generations.
var knownDomains = []string{"stackreeve.dev", "planton.dev", "planton.ai", "planton.cloud", "openmcf.org", "project-planton.org"}

// isKnownGroup tells whether an apiVersion is of a published generation.
func isKnownGroup(apiVersion string) bool {
	group, _, _ := strings.Cut(apiVersion, "/")
	for _, domain := range knownDomains {
		if group == domain || strings.HasSuffix(group, "."+domain) {
			return true
		}
	}
	return false
}

// envelope reads the outer fields. Without a kind there is no document.
func (r *reader) envelope(v *value) (envelope, bool) {
	e := envelope{at: v.at, metaAt: map[string]place{}}
	if v.kind != mapValue {
		r.report(diag.Diagnostic{Code: diag.NotADocument, Found: v.kind.String(), Expected: "a map with apiVersion, kind, metadata and spec"}, v.at)
		return e, false
	}
	kf, ok := v.get("kind")
	if !ok || kf.val.kind != stringValue || kf.val.text == "" {
		r.notADocument(v, kf)
		return e, false
	}
	e.Kind, e.kindAt = kf.val.text, kf.val.at
	e.Pos = r.text.position(v.at)
	e.NamePos = e.Pos
	fail := func(d diag.Diagnostic, at place) { e.bad = true; r.report(d, at) }
	var meta *field
	for i := range v.fields {
		f := &v.fields[i]
		switch f.key {
		case "kind", "status":
		case "apiVersion", "api_version":
			if f.val.kind != stringValue || f.val.text == "" {
				fail(diag.Diagnostic{Code: diag.WrongType, Detail: "apiVersion", Found: quoted(&f.val, nil), Expected: "a string"}, f.val.at)
				continue
			}
			e.APIVersion = f.val.text
		case "metadata":
			meta = f
		case "spec":
			e.spec = f
		default:
			fail(diag.Diagnostic{Code: diag.UnknownField, Found: fmt.Sprintf("%q in the document", f.key), Expected: oneOf(envelopeFields),
				Hint: didYouMean(f.key, envelopeFields)}, f.keyAt)
		}
	}
	if _, has := v.getEither("apiVersion"); !has {
		fail(diag.Diagnostic{Code: diag.MissingField, Detail: "apiVersion"}, kf.keyAt)
	}
	if meta != nil && meta.val.kind != nullValue {
		if meta.val.kind != mapValue {
			fail(diag.Diagnostic{Code: diag.WrongType, Detail: "metadata", Found: quoted(&meta.val, nil), Expected: "a map"}, meta.val.at)
		} else {
			r.metadata(&e, &meta.val)
		}
	}
	r.name(&e, kf.keyAt, meta)
	r.agree(&e)
	return e, true
}

func (r *reader) notADocument(v *value, kf *field) {
	d := diag.Diagnostic{Code: diag.NotADocument, Expected: "a document with apiVersion, kind, metadata and spec"}
	at := v.at
	if kf != nil {
		d.Found, d.Expected, at = quoted(&kf.val, nil), "kind to be a name", kf.val.at
	}
	for i := range v.fields {
		if near := nearest(v.fields[i].key, envelopeFields); near == "kind" {
			d.Hint, at = `did you mean "kind"?`, v.fields[i].keyAt
		}
	}
	if strings.HasPrefix(path.Base(r.text.path), "Pulumi.") {
		d.Hint = "a Pulumi program has a folder of its own, below an environment's folder or in modules/"
	}
	r.report(d, at)
}

var metadataFields = []string{"name", "slug", "id", "org", "env", "labels", "annotations", "tags", "relationships", "group", "version"}

// metadata reads the fields that all kinds share.
func (r *reader) metadata(e *envelope, m *value) {
	texts := map[string]*string{"name": &e.Metadata.Name, "slug": &e.Metadata.Slug, "id": &e.Metadata.ID, "org": &e.Metadata.Org,
		"env": &e.Metadata.Env, "group": &e.Metadata.Group}
	for i := range m.fields {
		f := &m.fields[i]
		if f.val.kind == nullValue {
			continue
		}
		e.metaAt[f.key] = f.val.at
		switch f.key {
		case "name", "slug", "id", "org", "env", "group":
			if !f.val.isScalar() {
				r.wrongMeta(e, f, "a string")
				continue
			}
			*texts[f.key] = f.val.text
		case "labels":
			e.Metadata.Labels = r.stringMap(e, f)
		case "annotations":
			e.Metadata.Annotations = r.stringMap(e, f)
		case "tags":
			if f.val.kind != listValue {
				r.wrongMeta(e, f, "a list of strings")
				continue
			}
			for j := range f.val.fields {
				t := &f.val.fields[j]
				if !t.val.isScalar() || t.val.kind == nullValue {
					r.wrongMeta(e, t, "a string", "tags")
					continue
				}
				e.Metadata.Tags = append(e.Metadata.Tags, t.val.text)
			}
		case "relationships":
			r.relationships(e, f)
		case "version":
			// Planton writes the version here; ours is the commit.
		default:
			e.bad = true
			r.report(diag.Diagnostic{Code: diag.UnknownField, Found: fmt.Sprintf("%q in metadata", f.key), Expected: oneOf(metadataFields),
				Hint: didYouMean(f.key, metadataFields)}, f.keyAt)
		}
	}
}

func (r *reader) wrongMeta(e *envelope, f *field, want string, parents ...string) {
	e.bad = true
	detail := strings.Join(append([]string{"metadata"}, parents...), ".")
	if f.key != "" {
		detail += "." + f.key
	}
	r.report(diag.Diagnostic{Code: diag.WrongType, Detail: detail, Found: quoted(&f.val, nil), Expected: want}, f.val.at)
}

// stringMap reads labels or annotations. Scalars of any type count as their text:
// "true" is what everybody means by an annotation true.
func (r *reader) stringMap(e *envelope, f *field) map[string]string {
	if f.val.kind != mapValue {
		r.wrongMeta(e, f, "a map of strings")
		return nil
	}
	m := make(map[string]string, len(f.val.fields))
	for i := range f.val.fields {
		g := &f.val.fields[i]
		if !g.val.isScalar() {
			r.wrongMeta(e, g, "a string", f.key)
			continue
		}
		m[g.key] = g.val.text
		e.metaAt[f.key+"/"+g.key] = g.val.at
	}
	return m
}

func (r *reader) relationships(e *envelope, f *field) {
	if f.val.kind != listValue {
		r.wrongMeta(e, f, "a list of {kind, env, name, type}")
		return
	}
	known := []string{"kind", "env", "name", "type"}
	for i := range f.val.fields {
		item := &f.val.fields[i].val
		if item.kind != mapValue {
			r.wrongMeta(e, &f.val.fields[i], "a map with kind, name and type", "relationships")
			continue
		}
		rel := relationship{at: item.at, typ: "depends_on"}
		texts := map[string]*string{"kind": &rel.kind, "env": &rel.env, "name": &rel.name, "type": &rel.typ}
		before := e.bad
		for j := range item.fields {
			g := &item.fields[j]
			t, ok := texts[g.key]
			switch {
			case !ok:
				e.bad = true
				r.report(diag.Diagnostic{Code: diag.UnknownField, Found: fmt.Sprintf("%q in metadata.relationships[%d]", g.key, i),
					Expected: oneOf(known), Hint: didYouMean(g.key, known)}, g.keyAt)
			case g.val.kind != stringValue:
				r.wrongMeta(e, g, "a string", "relationships")
			default:
				*t = g.val.text
			}
			if g.key == "name" {
				rel.at = g.val.at
			}
			if g.key == "type" && !slices.Contains(RelationshipTypes, strings.ToLower(g.val.text)) && g.val.kind == stringValue {
				e.bad = true
				r.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: fmt.Sprintf("metadata.relationships[%d].type", i), Found: quoted(&g.val, nil),
					Expected: oneOf(RelationshipTypes), Hint: didYouMean(g.val.text, RelationshipTypes)}, g.val.at)
			}
		}
		if e.bad && !before {
			continue
		}
		rel.typ = strings.ToLower(rel.typ)
		if rel.kind == "" || Slug(rel.name) == "" {
			e.bad = true
			r.report(diag.Diagnostic{Code: diag.IncompleteReference, Detail: fmt.Sprintf("metadata.relationships[%d]", i), Expected: "kind and name"}, item.at)
			continue
		}
		e.relationships = append(e.relationships, rel)
	}
}

// maxSlug bounds what becomes part of file names and state keys.
const maxSlug = 100

// name settles the document's name and slug.
func (r *reader) name(e *envelope, kindAt place, meta *field) {
	folder := ""
	switch e.Kind {
	case KindOrganization:
		folder = r.layout.scope.org
	case KindEnvironment:
		folder = r.layout.scope.env
	}
	if at, ok := e.metaAt["name"]; ok {
		e.NamePos = r.text.position(at)
	}
	at, ok := e.metaAt["slug"]
	if ok && !isSlug(e.Metadata.Slug) {
		e.bad = true
		r.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: "metadata.slug", Found: fmt.Sprintf("%q", e.Metadata.Slug),
			Expected: "lower-case letters, digits and single hyphens", Hint: fmt.Sprintf("did you mean %q?", Slug(e.Metadata.Slug))}, at)
		return
	}
	if e.Metadata.Name == "" && folder != "" {
		e.Metadata.Name = folder
	}
	if e.Metadata.Name == "" && (e.Kind == KindOrganization || e.Kind == KindEnvironment) {
		return // it stands in the wrong folder, which is reported
	}
	if e.Metadata.Name == "" {
		e.bad = true
		where := kindAt
		if meta != nil {
			where = meta.keyAt
		}
		r.report(diag.Diagnostic{Code: diag.MissingField, Detail: "metadata.name"}, where)
		return
	}
	switch {
	case folder != "" && e.Metadata.Slug != "" && e.Metadata.Slug != folder:
		e.bad = true
		r.report(diag.Diagnostic{Code: diag.FolderMismatch, Detail: "metadata.slug", Found: fmt.Sprintf("%q", e.Metadata.Slug),
			Expected: fmt.Sprintf("%q, the folder's name", folder)}, at)
	case folder != "":
		e.Metadata.Slug = folder
	case e.Metadata.Slug == "":
		e.Metadata.Slug = Slug(e.Metadata.Name)
		if e.Metadata.Slug == "" {
			e.bad = true
			r.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: "metadata.name", Found: fmt.Sprintf("%q", e.Metadata.Name),
				Expected: "a name with at least one letter or digit"}, e.metaAt["name"])
		}
	}
	if n := len(e.Metadata.Slug); n > maxSlug && folder == "" {
		e.bad = true
		where := "metadata.name"
		if ok {
			where = "metadata.slug"
		}
		r.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: where, Found: fmt.Sprintf("a slug of %d characters", n),
			Expected: fmt.Sprintf("at most %d characters", maxSlug)}, e.metaAt[strings.TrimPrefix(where, "metadata.")])
	}
}

// agree compares metadata's org and env with the folder, and fills them in.
func (r *reader) agree(e *envelope) {
	s := r.layout.scope
	check := func(key, folder string, have *string) {
		if *have != "" && *have != folder && s.org != "" && (key == "org" || s.env != "") {
			e.bad = true
			r.report(diag.Diagnostic{Code: diag.FolderMismatch, Detail: "metadata." + key, Found: fmt.Sprintf("%q", *have),
				Expected: fmt.Sprintf("%q, the folder's name", folder)}, e.metaAt[key])
		}
		if *have == "" {
			*have = folder
		}
	}
	check("org", s.org, &e.Metadata.Org)
	check("env", s.env, &e.Metadata.Env)
}

// cutField takes a field out of a document's spec; nil when it is not there.
func cutField(e *envelope, name string) (envelope, *field) {
	out := *e
	if e.spec == nil || e.spec.val.kind != mapValue {
		return out, nil
	}
	var found *field
	cut := e.spec.val
	cut.fields = nil
	for i := range e.spec.val.fields {
		if f := e.spec.val.fields[i]; f.key == name && found == nil {
			found = &f
		} else {
			cut.fields = append(cut.fields, f)
		}
	}
	out.spec = &field{key: e.spec.key, keyAt: e.spec.keyAt, val: cut}
	return out, found
}

// withField puts a field back that was cut out.
func withField(v value, f *field) value {
	if f != nil {
		v.fields = append(append([]field(nil), v.fields...), *f)
	}
	return v
}
