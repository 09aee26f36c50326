package schema

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// domains are the label domains of all generations, newest first.
var domains = []string{"stackreeve.dev", "planton.dev", "openmcf.org", "project-planton.org"}

// keySet are the keys of a document's annotations or labels.
type keySet struct {
	where string
	kv    map[string]string
}

// keySets are annotations before labels.
func (b *resourceBinder) keySets() [2]keySet {
	return [2]keySet{{"annotations", b.e.Metadata.Annotations}, {"labels", b.e.Metadata.Labels}}
}

// executionKey finds an execution key of any domain, in annotations before labels.
func (b *resourceBinder) executionKey(prefix, name string) (text string, at place, ok bool) {
	for _, set := range b.keySets() {
		if len(set.kv) == 0 {
			continue
		}
		for _, d := range domains {
			k := prefix + d + "/" + name
			if v, ok := set.kv[k]; ok {
				return v, b.e.metaAt[set.where+"/"+k], true
			}
		}
	}
	return "", place{}, false
}

// ownDomain is the one in which nobody else has keys: one that is not known there is a slip,
// and the stack would be run otherwise than its author thinks.
const ownDomain = "stackreeve.dev"

// ownKeys are the keys that count in it, each without it.
var ownKeys = []string{"provisioner", "engine-version", "engine-move", "prevent-destroy",
	"terraform./backend.type", "terraform./backend.bucket", "terraform./backend.key", "terraform./backend.region", "terraform./backend.endpoint", "terraform./backend.object",
	"tofu./backend.type", "tofu./backend.bucket", "tofu./backend.key", "tofu./backend.region", "tofu./backend.endpoint", "tofu./backend.object",
	"pulumi./stack.fqdn", "pulumi./organization", "pulumi./project", "pulumi./stack.name", "pulumi./backend.url", "pulumi./secrets-provider"}

// unknownKeys refuses keys of our own domain that do not count.
func (b *resourceBinder) unknownKeys() {
	for _, set := range b.keySets() {
		for _, k := range sortedKeys(set.kv) {
			domain, name, _ := strings.Cut(k, "/")
			prefix, is := strings.CutSuffix(domain, ownDomain)
			short := strings.TrimPrefix(prefix+"/"+name, "/")
			if !is || prefix != "" && !strings.HasSuffix(prefix, ".") || slices.Contains(ownKeys, short) {
				continue
			}
			d := diag.Diagnostic{Code: diag.UnknownField, Found: fmt.Sprintf("%q in metadata.%s", k, set.where), Expected: "a key that counts, or one in a domain of your own"}
			if near := nearest(short, ownKeys); near != "" {
				prefix, name := path.Split(near)
				d.Hint = fmt.Sprintf("did you mean %q?", strings.TrimSuffix(prefix, "/")+ownDomain+"/"+name)
			}
			b.fail(d, b.e.metaAt[set.where+"/"+k])
		}
	}
}

// executionKeys reads what labels and annotations say about how the stack is run.
func (b *resourceBinder) executionKeys() {
	b.res.Provisioner = b.ctx.provisioner
	if c, ok := b.ctx.components[b.e.Kind]; ok && c.Provisioner != "" {
		b.res.Provisioner = c.Provisioner
	}
	if s, at, ok := b.executionKey("", "provisioner"); ok {
		b.engineAt = at
		switch p := Provisioner(strings.ToLower(s)); p {
		case Terraform, OpenTofu, Pulumi:
			b.res.Provisioner = p
		case "opentofu":
			b.res.Provisioner = OpenTofu
		default:
			known := []string{string(Terraform), string(OpenTofu), string(Pulumi)}
			b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "provisioner", Found: fmt.Sprintf("%q", s), Expected: oneOf(known),
				Hint: didYouMean(s, known)}, at)
		}
	}
	b.engineKeys()
	b.preventDestroy()
	b.unknownKeys()
}

// otherEngine refuses an engine that a stack's kind excludes, where the document itself
// names it, with the kind that is for it. What it was said in is cut out of the spec.
func (b *resourceBinder) otherEngine(e *envelope, excluded ...Provisioner) bool {
	rest, said := cutField(e, "provisioner")
	name, at, where := string(b.res.Provisioner), b.engineAt, "provisioner"
	if said != nil {
		name, at, where = said.val.text, said.val.at, "spec.provisioner"
	}
	if (said == nil && at == place{}) || !slices.Contains(excluded, Provisioner(name)) {
		return false
	}
	d := diag.Diagnostic{Code: diag.InvalidValue, Detail: where, Found: name}
	if b.e.Kind == KindPulumiStack {
		d.Expected, d.Hint = "pulumi for a PulumiStack", "for Terraform or OpenTofu code use a TerraformStack"
	} else {
		d.Expected, d.Hint = "terraform or tofu for a TerraformStack", "for a Pulumi program use a PulumiStack"
	}
	b.fail(d, at)
	*e = rest
	return true
}

// preventDestroy honours the annotation under any prefix: its owners never fixed one,
// and a guard that is overlooked is none.
func (b *resourceBinder) preventDestroy() {
	for _, k := range sortedKeys(b.e.Metadata.Annotations) {
		if k != "prevent-destroy" && !strings.HasSuffix(k, "/prevent-destroy") {
			continue
		}
		switch v := b.e.Metadata.Annotations[k]; strings.ToLower(v) {
		case "true", "yes":
			b.res.PreventDestroy = true
		case "false", "no":
		default:
			b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: k, Found: fmt.Sprintf("%q", v), Expected: "true or false"}, b.e.metaAt["annotations/"+k])
		}
	}
}

// backendTypes are the places where state can be kept.
var backendTypes = []string{"local", "s3", "gcs", "azurerm", "http", "pg", "module"}

// backend reads the backend keys. OpenTofu uses Terraform's keys when it has none.
func (b *resourceBinder) backend() {
	prefixes := []string{"tofu.", "terraform."}
	if b.res.Provisioner == Terraform {
		prefixes = []string{"terraform.", "tofu."}
	}
	for _, prefix := range prefixes {
		typ, at, ok := b.executionKey(prefix, "backend.type")
		if !ok {
			continue
		}
		typ = strings.ToLower(typ)
		if !slices.Contains(backendTypes, typ) {
			b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "backend.type", Found: fmt.Sprintf("%q", typ), Expected: oneOf(backendTypes),
				Hint: didYouMean(typ, backendTypes)}, at)
			return
		}
		set := map[string]string{}
		for _, name := range []string{"bucket", "key", "region", "endpoint"} {
			if v, _, ok := b.executionKey(prefix, "backend."+name); ok {
				set[name] = v
			}
		}
		if v, _, ok := b.executionKey(prefix, "backend.object"); ok && set["key"] == "" {
			set["key"] = v
		}
		b.res.Backend = b.backendOf(typ, set, at)
		return
	}
}

// backendOf names the settings as the backend itself does.
func (b *resourceBinder) backendOf(typ string, set map[string]string, at place) Backend {
	out := Backend{Type: typ}
	if typ == "local" || typ == "module" || typ == "http" || typ == "pg" {
		return out
	}
	need := []string{"bucket"}
	if typ == "s3" {
		need = append(need, "region")
	}
	for _, n := range need {
		if set[n] == "" {
			b.fail(diag.Diagnostic{Code: diag.MissingField, Detail: fmt.Sprintf("backend.%s, which a backend of type %s needs", n, typ)}, at)
			return out
		}
	}
	if set["region"] == "auto" && typ == "s3" && set["endpoint"] == "" {
		b.fail(diag.Diagnostic{Code: diag.MissingField, Detail: "backend.endpoint, which region auto needs"}, at)
		return out
	}
	key := set["key"]
	if key == "" {
		key = b.res.Key.String()
	}
	switch typ {
	case "gcs":
		out.Config = map[string]string{"bucket": set["bucket"], "prefix": key}
	case "azurerm":
		out.Config = map[string]string{"container_name": set["bucket"], "key": key}
	case "s3":
		out.Config = map[string]string{"bucket": set["bucket"], "key": key, "region": set["region"]}
		if set["endpoint"] != "" || set["region"] == "auto" {
			out.Config["endpoint"] = set["endpoint"]
			for _, k := range []string{"use_path_style", "skip_credentials_validation", "skip_region_validation",
				"skip_requesting_account_id", "skip_metadata_api_check", "skip_s3_checksum"} {
				out.Config[k] = "true"
			}
		}
	}
	return out
}
