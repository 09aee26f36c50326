package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// notYet are Planton's kinds that later work will read. They are left out, with a
// warning, so that a repository that has them loads.
var notYet = []string{"ApiKey", "ConfigMap", "CookieCutterTemplate", "Connection", "DnsDomain", "GithubAction", "GithubWorkflow",
	"IacProvisionerMapping", "IamPolicy", "IamRole", "InfraChart", "InfraJob", "InfraPipeline", "InfraProject", "InfraStack",
	"Pipeline", "PromotionPolicy", "ProviderCredentialMapping", "Secret", "SecretVersion", "SecretsGroup", "Service",
	"StackJob", "StackJobRunner", "Variable", "VariableGroup", "VariablesGroup"}

// isNotYet tells whether a kind is one that later work will read.
func isNotYet(kind string) bool { return slices.Contains(notYet, kind) }

// isConnection tells whether a document of a kind that nothing registers is one of
// Planton's many kinds of connections. The name alone does not say it: there are
// cloud resources that are called a connection, too.
func isConnection(e *envelope) bool {
	ours := strings.HasPrefix(e.APIVersion, "connect.") && isKnownGroup(e.APIVersion) || e.APIVersion == APIVersion
	return ours && (strings.HasSuffix(e.Kind, "Connection") || strings.HasSuffix(e.Kind, "Credential"))
}

// ownSpecs are the schemas of the own kinds' specs.
var ownSpecs = sync.OnceValue(func() map[string]*specSchema {
	out := map[string]*specSchema{}
	for kind, raw := range ownSpecJSON() {
		doc, err := decodeJSON(raw)
		if err != nil {
			panic("schema of " + kind + ": " + err.Error())
		}
		s, err := compileSchema(doc)
		if err != nil {
			panic("schema of " + kind + ": " + err.Error())
		}
		out[kind] = s
	}
	return out
})

// unusedFields are fields of Planton's own-kind specs that have no effect here.
var unusedFields = map[string][]string{
	KindOrganization: {"stackJobSettings"},
	KindEnvironment:  {"environmentType", "promotionOnly"},
	KindIacModule: {"selector", "isOfficial", "isReady", "provider", "iconUrl", "imageUrl", "projectRuntime",
		"gitRepo.gitCredentialId", "gitRepo.webUrl", "gitRepo.readmeUrl", "gitRepo.overviewMarkdownUrl"},
}

// otherNames are how fields are called in the kind beside: who writes one has looked at
// the wrong page of the manual.
var otherNames = map[string]map[string]string{
	KindTerraformStack: {"program": "module", "config": "variables"},
	KindPulumiStack:    {"module": "program", "variables": "config"},
}

// spec checks the spec of an own kind against its schema and decodes it into out.
// The result is the walked spec, for places; nil when it was wrong.
func (r *reader) spec(e *envelope, out any) *value {
	s := ownSpecs()[e.Kind]
	v := value{kind: mapValue, at: e.at}
	keyAt := e.kindAt
	if e.spec != nil {
		keyAt = e.spec.keyAt
		if e.spec.val.kind != nullValue {
			v = e.spec.val
		}
	}
	w := &walker{reporter: r.reporter, alsoCalled: otherNames[e.Kind]}
	v = w.withoutUnused(v, unusedFields[e.Kind], "")
	v = w.walk(v, s.shape, (*fieldPath)(nil).field("spec"))
	w.validate(&v, s, keyAt, "spec")
	if w.bad || e.bad {
		e.bad = true
		return nil
	}
	err := json.Unmarshal(v.appendJSON(nil), out)
	if err == nil {
		return &v
	}
	// What JSON Schema takes and Go does not: 1e3 and 1.0 are whole numbers to it.
	e.bad = true
	d := diag.Diagnostic{Code: diag.InvalidValue, Expected: "a value that can be read"}
	var te *json.UnmarshalTypeError
	if errors.As(err, &te) {
		d.Detail, d.Found = "spec."+te.Field, te.Value
		if te.Type.Kind() == reflect.Int {
			d.Expected = "a whole number, written with digits only"
		}
		keyAt, _ = v.find(te.Field)
	}
	r.report(d, keyAt)
	return nil
}

// withoutUnused leaves out fields that have no effect, with a warning.
func (w *walker) withoutUnused(v value, unused []string, prefix string) value {
	if v.kind != mapValue || len(unused) == 0 {
		return v
	}
	out := v
	out.fields = make([]field, 0, len(v.fields))
	for _, f := range v.fields {
		name := prefix + camelCase(f.key)
		if slices.Contains(unused, name) {
			w.report(diag.Diagnostic{Code: diag.FieldNotUsed, Severity: diag.Warning, Detail: "spec." + name}, f.keyAt)
			continue
		}
		if prefix == "" && f.val.kind == mapValue {
			f.val = w.withoutUnused(f.val, unused, name+".")
		}
		out.fields = append(out.fields, f)
	}
	return out
}

// ownDocuments are the documents of a file that need no catalogue to be understood.
type ownDocuments struct {
	organizations []*Organization
	environments  []*Environment
	components    []*boundComponent
	modules       []*boundModule
	policies      []*boundPolicy
	accounts      []*boundAccount
	teams         []*boundTeam
	// hidesPeople says that an account or a team is here but wrong.
	hidesPeople bool
	// hidden are kinds whose component is here but wrong.
	hidden []string
	// misnamed are the environments whose name could be that of another one.
	misnamed []misnamed
}

// misnamed is an environment that is called something else than its folder. That is its
// right, the name is for people, unless another environment's folder is called so.
type misnamed struct {
	name string
	at   diag.Diagnostic
}

// boundComponent is a component with its compiled schema.
type boundComponent struct {
	*Component
	spec    *specSchema
	kindAt  diag.Diagnostic
	sources []localSource
}

type boundModule struct {
	*Module
	kindAt  diag.Diagnostic
	sources []localSource
}

type boundPolicy struct {
	*Policy
	at     diag.Diagnostic
	places boundPeople
}

// localSource is a module folder of this repository that must exist.
type localSource struct {
	path        string
	provisioner Provisioner
	// otherCode is the hint for a folder with another engine's code.
	otherCode string
	// missing is the diagnostic to give when it does not.
	missing diag.Diagnostic
}

// own reads a document of an own kind, other than a resource. It tells whether the
// document was one.
func (r *reader) own(e *envelope, out *ownDocuments) bool {
	s := r.layout.scope
	switch e.Kind {
	case KindOrganization:
		if r.in(e, s.org != "" && s.env == "", "an organization's folder") {
			o := &Organization{Slug: s.org}
			if v := r.spec(e, &o.Spec); v != nil {
				o.Document = e.Document
				o.Spec.EngineVersion = r.ownEngineVersions(e, v, o.Spec.Provisioner)
				out.organizations = append(out.organizations, o)
			}
		}
	case KindEnvironment:
		if r.in(e, s.env != "", "an environment's folder") {
			if _, given := e.metaAt["slug"]; !given && e.Metadata.Name != s.env && isSlug(e.Metadata.Name) {
				out.misnamed = append(out.misnamed, misnamed{name: e.Metadata.Name, at: r.text.show(diag.Diagnostic{Code: diag.FolderMismatch,
					Detail: "metadata.name", Found: fmt.Sprintf("%q, the name of another environment's folder", e.Metadata.Name),
					Expected: fmt.Sprintf("%q, the folder's name, or a name that no other folder has", s.env)}, e.metaAt["name"])})
			}
			env := &Environment{Org: s.org, Slug: s.env}
			if v := r.spec(e, &env.Spec); v != nil {
				env.Document = e.Document
				env.Spec.EngineVersion = r.ownEngineVersions(e, v, env.Spec.Provisioner)
				out.environments = append(out.environments, env)
			}
		}
	case KindDeploymentComponent:
		if r.in(e, s.env == "", "an organization's folder or platform.yaml") {
			r.component(e, out)
		}
	case KindIacModule:
		if r.in(e, s.env == "", "an organization's folder or platform.yaml") {
			r.iacModule(e, out)
		}
	case KindFlowControlPolicy:
		r.policy(e, out)
	case KindIdentityAccount:
		if r.in(e, s.org != "" && s.env == "", "an organization's folder") {
			r.account(e, out)
		}
	case KindTeam:
		if r.in(e, s.org != "" && s.env == "", "an organization's folder") {
			r.team(e, out)
		}
	default:
		return false
	}
	r.checkGroup(e)
	return true
}

// in checks that a kind stands in the right kind of folder.
func (r *reader) in(e *envelope, ok bool, where string) bool {
	if ok {
		return true
	}
	e.bad = true
	r.report(diag.Diagnostic{Code: diag.WrongFolder, Detail: fmt.Sprintf("%s in %s", e.Kind, r.layout.scope), Expected: where}, e.kindAt)
	return false
}

// checkGroup warns about an apiVersion of no published generation.
func (r *reader) checkGroup(e *envelope) {
	if e.APIVersion != "" && !isKnownGroup(e.APIVersion) {
		r.report(diag.Diagnostic{Code: diag.UnknownAPIVersion, Severity: diag.Warning, Found: fmt.Sprintf("%q", e.APIVersion),
			Expected: fmt.Sprintf("%q for kind %s", APIVersion, e.Kind)}, e.at)
	}
}

func (r *reader) component(e *envelope, out *ownDocuments) {
	registered := ""
	if e.spec != nil {
		if f, ok := e.spec.val.get("kind"); ok && f.val.kind == stringValue {
			registered = f.val.text
		}
	}
	var spec componentSpec
	v := r.spec(e, &spec)
	var c *boundComponent
	if v != nil {
		c = r.componentOf(e, &spec, v)
	}
	if c == nil {
		if registered != "" {
			out.hidden = append(out.hidden, registered)
		}
		return
	}
	out.components = append(out.components, c)
}

// componentOf checks what the schema of the spec cannot say; nil when it is wrong.
func (r *reader) componentOf(e *envelope, spec *componentSpec, v *value) *boundComponent {
	kf, _ := v.get("kind")
	if slices.Contains(OwnKinds(), spec.Kind) || isNotYet(spec.Kind) {
		r.report(diag.Diagnostic{Code: diag.InvalidValue, Detail: "spec.kind", Found: fmt.Sprintf("%q", spec.Kind),
			Expected: "a kind that is not Stackreeve's own"}, kf.val.at)
		return nil
	}
	c := &boundComponent{Component: &Component{Document: e.Document, Org: r.layout.scope.org, RegisteredAPIVersion: spec.APIVersion,
		RegisteredKind: spec.Kind, Provider: spec.Provider, Provisioner: Provisioner(spec.Provisioner), Modules: map[Provisioner]ModuleSource{}}}
	c.kindAt = r.text.show(diag.Diagnostic{}, kf.val.at)
	if c.spec = r.compile(v); c.spec == nil {
		return nil
	}
	c.Schema = json.RawMessage(`{}`)
	if f, ok := v.get("schema"); ok {
		c.Schema = f.val.appendJSON(nil)
	}
	mf, _ := v.get("modules")
	var ok bool
	c.EngineVersions, ok = r.engineVersions(v, c.Provisioner)
	for _, m := range []struct {
		p    Provisioner
		spec *moduleSpec
	}{{Terraform, spec.Modules.Terraform}, {OpenTofu, spec.Modules.Tofu}, {Pulumi, spec.Modules.Pulumi}} {
		if m.spec == nil {
			continue
		}
		f, _ := mf.val.get(string(m.p))
		src, good := r.moduleSource(m.spec, f)
		if !good {
			ok = false
			continue
		}
		c.Modules[m.p] = src
		c.sources = r.local(c.sources, src, m.p, f)
	}
	if !ok {
		return nil
	}
	return c
}

// compile compiles the JSON Schema of a component; an error is reported at the part
// that is wrong.
func (r *reader) compile(v *value) *specSchema {
	f, ok := v.get("schema")
	if !ok {
		s, err := compileSchema(true)
		if err != nil {
			return nil
		}
		return s
	}
	if f.val.kind != mapValue && f.val.kind != boolValue {
		r.report(diag.Diagnostic{Code: diag.InvalidSchema, Found: quoted(&f.val, nil), Expected: "a JSON Schema: a map"}, f.val.at)
		return nil
	}
	s, err := compileSchema(f.val.toAny())
	if err == nil {
		return s
	}
	r.schemaError(f, err)
	return nil
}

// iacModule reads an IacModule in either form.
func (r *reader) iacModule(e *envelope, out *ownDocuments) {
	var spec iacModuleSpec
	v := r.spec(e, &spec)
	if v == nil {
		return
	}
	fail := func(d diag.Diagnostic, at place) { e.bad = true; r.report(d, at) }
	kf, ok := v.get("kind")
	if other, has := v.get("cloudResourceKind"); has {
		if ok {
			fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "spec.cloudResourceKind", Expected: "only one of kind and cloudResourceKind"}, other.keyAt)
			return
		}
		kf, ok = other, true
	}
	if !ok {
		fail(diag.Diagnostic{Code: diag.MissingField, Detail: "spec.kind"}, e.spec.keyAt)
		return
	}
	var m moduleSpec
	var at *field
	given := 0
	for _, name := range []string{"path", "git", "gitRepo"} {
		if f, has := v.get(name); has {
			at = f
			given++
		}
	}
	if given != 1 {
		fail(diag.Diagnostic{Code: diag.MissingField, Detail: "the module's place", Expected: "exactly one of path, git and gitRepo"}, e.spec.keyAt)
		return
	}
	switch {
	case spec.Path != nil:
		m.Path = *spec.Path
	case spec.Git != nil:
		m.Git = spec.Git
	case spec.GitRepo != nil:
		g := spec.GitRepo
		m.Git = &gitSpec{URL: g.CloneURL, Ref: g.CommitSHA, Path: g.ProjectDir}
		if m.Git.Ref == "" {
			m.Git.Ref = g.Branch
		}
		if m.Git.Path == "" {
			m.Git.Path = g.RepoPath
		}
	}
	src, good := r.moduleSource(&m, at)
	if !good {
		e.bad = true
		return
	}
	bm := &boundModule{Module: &Module{Document: e.Document, Org: r.layout.scope.org, ForKind: kf.val.text,
		Provisioner: Provisioner(spec.Provisioner), Source: src}}
	bm.kindAt = r.text.show(diag.Diagnostic{}, kf.val.at)
	bm.sources = r.local(nil, src, bm.Provisioner, at)
	out.modules = append(out.modules, bm)
}
