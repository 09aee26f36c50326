package schema

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// declaration says that a resource is written down, right or wrong.
type declaration struct {
	key ResourceKey
	// at is where it is named, ready to be reported.
	at diag.Diagnostic
}

// boundFile are the resources of a file, understood in a context. It is kept until
// the file or the context changes.
type boundFile struct {
	ctx       *surroundings
	resources []*Resource
	declared  []declaration
	sources   []localSource
	findings  []finding
	masks     []mask
	// broken are resources that are wrong: their references are checked all the same.
	broken []*Resource
}

// bindResources understands the resource documents of a file.
func bindResources(r *reader, docs []envelope, ctx *surroundings) *boundFile {
	out := &boundFile{ctx: ctx}
	for i := range docs {
		e := docs[i]
		b := &resourceBinder{reader: r, e: &e, ctx: ctx, out: out}
		b.bind()
	}
	out.findings, out.masks = r.findings, r.masks
	return out
}

// resourceBinder understands one resource document.
type resourceBinder struct {
	*reader
	e   *envelope
	ctx *surroundings
	out *boundFile
	res *Resource
	// engineAt is where an annotation or label names the engine; the zero place when
	// none does.
	engineAt place
}

func (b *resourceBinder) fail(d diag.Diagnostic, at place) {
	b.e.bad = true
	b.report(d, at)
}

func (b *resourceBinder) bind() {
	e, s := b.e, b.layout.scope
	c, known := b.ctx.components[e.Kind]
	key := ResourceKey{Org: s.org, Env: s.env, Kind: e.Kind, Name: e.Metadata.Slug}
	if isSlug(key.Name) && s.env != "" {
		at := e.kindAt
		if p, ok := e.metaAt["name"]; ok {
			at = p
		}
		b.out.declared = append(b.out.declared, declaration{key: key, at: b.text.show(diag.Diagnostic{}, at)})
	}
	if !known && e.Kind != KindTerraformStack && e.Kind != KindPulumiStack {
		b.unknownKind()
		return
	}
	if !b.in(e, s.env != "", "an environment's folder") {
		return
	}
	b.res = &Resource{Document: e.Document, Key: key}
	b.executionKeys()
	for _, rel := range e.relationships {
		env := rel.env
		if env == "" {
			env = s.env
		}
		b.res.References = append(b.res.References, Reference{Kind: Relationship, From: key, Type: rel.typ, Path: "metadata.relationships",
			To: ResourceKey{Org: s.org, Env: env, Kind: rel.kind, Name: Slug(rel.name)}, Pos: b.text.position(rel.at)})
	}
	switch e.Kind {
	case KindTerraformStack:
		b.checkGroup(e)
		b.backend()
		b.terraformStack()
	case KindPulumiStack:
		b.checkGroup(e)
		b.pulumiStack()
	default:
		b.checkAPIVersion(c)
		b.catalogued(c)
	}
	if b.ctx.protected {
		b.res.PreventDestroy = true
	}
	if e.bad {
		b.out.broken = append(b.out.broken, b.res)
		return
	}
	b.out.resources = append(b.out.resources, b.res)
}

// unknownKind reports a kind that nothing registers, unless its component may be in
// a file that could not be read: that error is the cause.
func (b *resourceBinder) unknownKind() {
	if isConnection(b.e) {
		b.report(diag.Diagnostic{Code: diag.KindNotSupportedYet, Severity: diag.Warning, Detail: "kind " + b.e.Kind}, b.e.kindAt)
		return
	}
	if b.ctx.hidden[b.e.Kind] || b.ctx.unreadable {
		return
	}
	d := diag.Diagnostic{Code: diag.UnknownKind, Found: fmt.Sprintf("%q", b.e.Kind), Hint: b.ctx.hint(b.e.Kind)}
	if now, ok := renamedKinds[b.e.Kind]; ok {
		d.Hint = fmt.Sprintf("the kind is called %q now", now)
	}
	if d.Hint == "" {
		d.Hint = "register it with a DeploymentComponent, or use a TerraformStack or PulumiStack"
	}
	b.fail(d, b.e.kindAt)
}

// renamedKinds are kinds of Planton that have another name now.
var renamedKinds = map[string]string{
	"PostgresKubernetes": "KubernetesPostgres", "RedisKubernetes": "KubernetesRedis", "KafkaKubernetes": "KubernetesKafka",
	"MongodbKubernetes": "KubernetesMongodb", "ElasticsearchKubernetes": "KubernetesElasticsearch", "SolrKubernetes": "KubernetesSolr",
	"JenkinsKubernetes": "KubernetesJenkins", "KeycloakKubernetes": "KubernetesKeycloak", "LocustKubernetes": "KubernetesLocust",
	"NeoforjKubernetes": "KubernetesNeo4J", "OpenFgaKubernetes": "KubernetesOpenFga", "PrometheusKubernetes": "KubernetesPrometheus",
	"ArgocdKubernetes": "KubernetesArgocd", "GitlabKubernetes": "KubernetesGitlab", "GrafanaKubernetes": "KubernetesGrafana",
	"MicroserviceKubernetes": "KubernetesDeployment", "AwsRds": "AwsRdsInstance", "EksCluster": "AwsEksCluster", "GkeCluster": "GcpGkeCluster",
	"AksCluster": "AzureAksCluster",
}

// checkAPIVersion warns when a document's apiVersion is not the registered one nor
// an older name of it.
func (b *resourceBinder) checkAPIVersion(c *boundComponent) {
	have, want := b.e.APIVersion, c.RegisteredAPIVersion
	if have == "" || have == want || isKnownGroup(have) && isKnownGroup(want) && sameProvider(have, want) {
		return
	}
	b.report(diag.Diagnostic{Code: diag.UnknownAPIVersion, Severity: diag.Warning, Found: fmt.Sprintf("%q", have),
		Expected: fmt.Sprintf("%q for kind %s", want, b.e.Kind)}, b.e.at)
}

// sameProvider compares the first label of two API groups. Older manuals put all kinds
// into one platform group.
func sameProvider(a, b string) bool {
	first := func(s string) string {
		l, _, _ := strings.Cut(s, ".")
		return strings.ReplaceAll(l, "-", "")
	}
	return first(a) == first(b) || first(a) == "infrahub"
}

// catalogued reads a document of a registered kind.
func (b *resourceBinder) catalogued(c *boundComponent) {
	v := value{kind: mapValue, at: b.e.kindAt}
	keyAt := b.e.kindAt
	if b.e.spec != nil {
		keyAt = b.e.spec.keyAt
		if b.e.spec.val.kind != nullValue {
			v = b.e.spec.val
		}
	}
	w := &walker{reporter: b.reporter, key: b.res.Key, mode: withReferences}
	v = w.walk(v, c.spec.shape, (*fieldPath)(nil).field("spec"))
	w.validate(&v, c.spec, keyAt, "spec")
	if w.bad {
		b.e.bad = true
	}
	b.res.References = append(b.res.References, w.refs...)
	plain := withDefaults(unwrapped(v, c.spec.shape), c.spec.shape)
	open := plain
	if c.spec.secretive {
		open = openParts(plain, c.spec.shape)
	}
	b.res.Spec = open.appendJSON(nil)
	b.pickModule(c)
	if b.res.Provisioner == Pulumi {
		b.pulumiSettings(&pulumiStackSpec{}, nil)
		b.res.Pulumi.StackInput = true
		b.res.Inputs, b.res.SecretInputs = b.stackInput(c, withDefaults(v, c.spec.shape))
		return
	}
	b.backend()
	spec := moduleSpelling(plain, c.spec.shape)
	in := append([]byte(`{"metadata":`), b.inputMetadata()...)
	in = append(in, `,"spec":`...)
	b.res.Inputs = append(spec.appendJSON(in), '}')
	b.res.SecretInputs = secretPlaces(&plain, c.spec, Pointer("", "spec"), snakeCase)
}

// metadataFor are fields of metadata as a module reads them. Which Terraform's variable
// declares, all do; slug and group are for those that read the whole manifest.
type metadataFor struct {
	Annotations map[string]string `json:"annotations,omitempty"`
	Env         string            `json:"env"`
	Group       string            `json:"group,omitempty"`
	ID          string            `json:"id,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Name        string            `json:"name"`
	Org         string            `json:"org"`
	Slug        string            `json:"slug,omitempty"`
	Tags        []string          `json:"tags,omitempty"`
}

// inputMetadata are the fields of metadata that a Terraform module's variable declares.
func (b *resourceBinder) inputMetadata() []byte {
	m := b.e.Metadata
	return b.metadataJSON(metadataFor{Annotations: m.Annotations, Env: m.Env, ID: m.ID, Labels: m.Labels, Name: m.Name, Org: m.Org, Tags: m.Tags})
}

func (b *resourceBinder) metadataJSON(m metadataFor) []byte {
	raw, err := json.Marshal(m)
	if err == nil {
		raw, err = canonical(raw)
	}
	if err != nil {
		b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "metadata: " + err.Error()}, b.e.kindAt)
	}
	return raw
}

// pickModule finds the module of a catalogue kind: the organization's IacModule, the
// platform's, the component's, each for the provisioner that is said, then for its
// twin: Terraform and OpenTofu run each other's modules.
func (b *resourceBinder) pickModule(c *boundComponent) {
	try := []Provisioner{b.res.Provisioner}
	switch b.res.Provisioner {
	case Terraform:
		try = append(try, OpenTofu)
	case OpenTofu:
		try = append(try, Terraform)
	case "":
		try = []Provisioner{OpenTofu, Terraform, Pulumi}
	}
	for _, p := range try {
		src, ok := b.ctx.moduleFor(c, p)
		if !ok {
			continue
		}
		b.res.Module = src
		if b.res.Provisioner == "" && p == Pulumi {
			b.res.Provisioner = Pulumi
		}
		if b.res.Provisioner == "" {
			// With a module of its own for each engine, the choice of the module is the
			// choice of the engine.
			if other, both := b.ctx.moduleFor(c, Terraform); both && other != src {
				b.res.Provisioner = p
			}
		}
		return
	}
	var have []string
	for _, p := range []Provisioner{Terraform, OpenTofu, Pulumi} {
		if _, ok := b.ctx.moduleFor(c, p); ok {
			have = append(have, string(p))
		}
	}
	d := diag.Diagnostic{Code: diag.MissingModule, Detail: fmt.Sprintf("kind %s has no module for %s", b.e.Kind, b.res.Provisioner), Expected: oneOf(have)}
	if (b.engineAt == place{}) && len(have) > 0 {
		says := "the folder's default"
		if c.Provisioner != "" {
			says = "the one that the kind's DeploymentComponent names"
		}
		d.Hint = fmt.Sprintf("the engine is %s; the annotation stackreeve.dev/provisioner: %s says another for this resource", says, have[0])
	}
	b.fail(d, b.e.kindAt)
}

// terraformStack reads a TerraformStack.
func (b *resourceBinder) terraformStack() {
	var spec terraformStackSpec
	e, variables := cutField(b.e, "variables")
	refused := b.otherEngine(&e, Pulumi)
	v := b.spec(&e, &spec)
	b.e.bad = b.e.bad || e.bad
	b.res.Inputs = json.RawMessage(`{}`)
	if variables != nil {
		b.variables(variables)
	}
	if v == nil {
		return
	}
	mf, _ := v.get("module")
	src, ok := b.moduleSource(&spec.Module, mf)
	if !ok {
		b.e.bad = true
		return
	}
	b.res.Module = src
	if spec.Provisioner != "" {
		b.res.Provisioner = Provisioner(spec.Provisioner)
	}
	if b.res.Provisioner == Pulumi && !refused {
		b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "provisioner", Found: "pulumi, the folder's default", Expected: "terraform or tofu for a TerraformStack",
			Hint: "say which of them in spec.provisioner; for a Pulumi program use a PulumiStack"}, b.e.kindAt)
	}
	if !b.ownEngineVersion(v, Provisioner(spec.Provisioner)) {
		return
	}
	if spec.EngineMove != "" {
		b.res.EngineMove = spec.EngineMove
	}
	b.out.sources = b.stackSource(b.out.sources, src, Terraform, mf)
	if spec.Backend != nil {
		b.res.Backend = Backend{Type: spec.Backend.Type, Config: spec.Backend.Config}
		if f, ok := v.get("backend"); ok {
			if config, ok := f.val.get("config"); ok {
				b.backendSettings(spec.Backend.Type, &config.val)
			}
		}
	}
	b.res.PreventDestroy = b.res.PreventDestroy || spec.PreventDestroy
	if vf, ok := v.get("varFiles"); ok {
		b.varFiles(vf)
	}
	whole := withField(*v, variables)
	b.res.Spec = whole.appendJSON(nil)
}

func (b *resourceBinder) variables(f *field) {
	if f.val.kind == nullValue {
		return
	}
	if f.val.kind != mapValue {
		b.fail(diag.Diagnostic{Code: diag.WrongType, Detail: "spec.variables", Found: quoted(&f.val, nil), Expected: "a map"}, f.val.at)
		return
	}
	w := &walker{reporter: b.reporter, key: b.res.Key, mode: withReferences}
	out := f.val
	out.fields = make([]field, len(f.val.fields))
	at := (*fieldPath)(nil).field("spec").field("variables")
	for i, g := range f.val.fields {
		g.val = w.walk(g.val, anyShape, at.field(g.key))
		out.fields[i] = g
	}
	b.e.bad = b.e.bad || w.bad
	b.res.References = append(b.res.References, w.refs...)
	b.res.Inputs = out.appendJSON(nil)
	f.val = out
}

func (b *resourceBinder) varFiles(f *field) {
	for i := range f.val.fields {
		item := &f.val.fields[i].val
		joined := path.Join(b.res.Module.Path, item.text)
		if path.IsAbs(item.text) || joined == ".." || strings.HasPrefix(joined, "../") || item.text == "" {
			b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: fmt.Sprintf("spec.varFiles[%d]", i), Found: quoted(item, nil),
				Expected: "a file of the module's repository, from the module's folder"}, item.at)
			continue
		}
		b.res.VarFiles = append(b.res.VarFiles, path.Clean(item.text))
	}
}
