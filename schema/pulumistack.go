package schema

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// pulumiStack reads a PulumiStack. Its kind names the engine: a folder's default is for
// kinds that leave it open.
func (b *resourceBinder) pulumiStack() {
	var spec pulumiStackSpec
	e, config := cutField(b.e, "config")
	b.otherEngine(&e, Terraform, OpenTofu)
	b.res.Provisioner = Pulumi
	v := b.spec(&e, &spec)
	b.e.bad = b.e.bad || e.bad
	b.pulumiSettings(&spec, v)
	b.res.Inputs = json.RawMessage(`{}`)
	var open *field
	if config != nil {
		open = b.config(config)
	}
	if v == nil {
		return
	}
	pf, _ := v.get("program")
	src, ok := b.moduleSource(&spec.Program, pf)
	if !ok {
		b.e.bad = true
		return
	}
	b.res.Module = src
	if !b.ownEngineVersion(v, Pulumi) {
		return
	}
	b.out.sources = b.stackSource(b.out.sources, src, Pulumi, pf)
	b.res.PreventDestroy = b.res.PreventDestroy || spec.PreventDestroy
	whole := withField(*v, open)
	b.res.Spec = whole.appendJSON(nil)
}

// configKey is a name, or a namespace and a name. Pulumi forbids colons in both; what
// else would have to be quoted on its command line is left out as well.
var configKey = regexp.MustCompile(`^([^:\s"'\\]+:)?[^:\s"'\\]+$`)

// secretShape is the shape of a value that is marked as secret: none of it is shown.
var secretShape = func() *shape {
	s := &shape{open: true, nullable: true, sensitive: true}
	s.values, s.items = s, s
	return s
}()

// config reads the configuration of a PulumiStack into the inputs, and returns what others
// may read of it: a secret value would reach them as any other.
func (b *resourceBinder) config(f *field) *field {
	if f.val.kind == nullValue {
		return nil
	}
	if f.val.kind != mapValue {
		b.fail(diag.Diagnostic{Code: diag.WrongType, Detail: "spec.config", Found: f.val.kind.String(), Expected: "a map"}, f.val.at)
		return nil
	}
	w := &walker{reporter: b.reporter, key: b.res.Key, mode: withReferences}
	inputs, open := f.val, f.val
	inputs.fields, open.fields = nil, nil
	at := (*fieldPath)(nil).field("spec").field("config")
	for _, g := range f.val.fields {
		if !configKey.MatchString(g.key) {
			b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "spec.config", Found: fmt.Sprintf("%q", g.key),
				Expected: "a name, or a namespace and a name: region, aws:region"}, g.keyAt)
		}
		if g.val.kind == nullValue {
			continue // as in a catalogue's spec, null is a value that is not set
		}
		secret, marked := b.secretMark(&g)
		here := at.field(g.key)
		switch {
		case !marked:
			g.val = w.walk(g.val, anyShape, here)
			open.fields = append(open.fields, g)
		case secret.kind == nullValue:
			continue
		default:
			g.val = w.walk(secret, secretShape, here.field("secret"))
			b.res.Pulumi.SecretConfig = append(b.res.Pulumi.SecretConfig, g.key)
		}
		inputs.fields = append(inputs.fields, g)
	}
	slices.Sort(b.res.Pulumi.SecretConfig)
	b.e.bad = b.e.bad || w.bad
	b.res.References = append(b.res.References, w.refs...)
	b.res.Inputs = inputs.appendJSON(nil)
	out := *f
	out.val = open
	return &out
}

// secretMark tells whether the value of a key is {secret: VALUE}, and gives that value.
// A mark at another place is an error: what was meant to be secret would be plain.
// With other fields beside it, "secret" is a mark only at the top.
func (b *resourceBinder) secretMark(g *field) (value, bool) {
	if f, ok := soleField(&g.val, "secret"); ok {
		b.hide(&f.val)
		return f.val, true
	}
	wrong := diag.Diagnostic{Code: diag.InvalidValue, Detail: (*fieldPath)(nil).field("spec").field("config").field(g.key).String(),
		Expected: "{secret: …} alone, as the whole value of the key",
		Hint:     "to keep a part of a value secret, mark all of it: {secret: {…}}"}
	if f, ok := g.val.get("secret"); ok {
		b.hide(&g.val)
		wrong.Found = `"secret" with other fields beside it`
		b.fail(wrong, f.keyAt)
		return value{}, false
	}
	if f := nestedMark(&g.val); f != nil {
		b.hide(&f.val)
		wrong.Found = "{secret: …} inside of a value"
		b.fail(wrong, f.keyAt)
	}
	return value{}, false
}

// nestedMark finds a map with the one key secret below a value.
func nestedMark(v *value) *field {
	for i := range v.fields {
		part := &v.fields[i].val
		if f, ok := soleField(part, "secret"); ok && part.kind == mapValue {
			return f
		}
		if f := nestedMark(part); f != nil {
			return f
		}
	}
	return nil
}

// stackInput is what Planton's Pulumi programs read: the manifest as protobuf's JSON. The
// apiVersion is the registered one, which such a program insists on; relationships are
// left out, as they say nothing to it and may name kinds that it does not know. secret are
// the places of what the component's schema says is secret, sorted.
func (b *resourceBinder) stackInput(c *boundComponent, spec value) (inputs json.RawMessage, secret []string) {
	m := b.e.Metadata
	in := appendJSONString([]byte(`{"target":{"apiVersion":`), c.RegisteredAPIVersion)
	in = appendJSONString(append(in, `,"kind":`...), b.e.Kind)
	in = append(append(in, `,"metadata":`...), b.metadataJSON(metadataFor{Annotations: m.Annotations, Env: m.Env, Group: m.Group, ID: m.ID,
		Labels: m.Labels, Name: m.Name, Org: m.Org, Slug: m.Slug, Tags: m.Tags})...)
	spelled := stackInputSpelling(spec, c.spec.shape)
	secret = secretPlaces(&spelled, c.spec, Pointer("", "target", "spec"), func(name string) string { return name })
	return append(spelled.appendJSON(append(in, `,"spec":`...)), "}}"...), secret
}

// stackInputSpelling keeps the schema's spelling, and puts a reference that stands for a
// StringValueOrRef where its value goes: {value: …}.
func stackInputSpelling(v value, s *shape) value {
	if v.kind == mapValue && isNormalised(&v) {
		if !s.isRefOrValue() {
			return v
		}
		return value{at: v.at, kind: mapValue, fields: []field{{key: "value", keyAt: v.at, val: v}}}
	}
	return withParts(v, s, stackInputSpelling)
}
