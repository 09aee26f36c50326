package schema

import (
	"encoding/json"

	"github.com/invopop/jsonschema"
)

// The specs of the own kinds that are read and then turned into something else.
// Their JSON Schemas are made of these structs, so that what editors complete is what
// the loader accepts.

// componentSpec is the spec of kind DeploymentComponent.
type componentSpec struct {
	APIVersion  string          `json:"apiVersion" jsonschema:"minLength=1" jsonschema_description:"The apiVersion that documents of the registered kind carry."`
	Kind        string          `json:"kind" jsonschema:"pattern=^[A-Z][A-Za-z0-9]*$,maxLength=100" jsonschema_description:"The kind that the component registers, in PascalCase."`
	Provider    string          `json:"provider,omitempty" jsonschema_description:"The cloud provider, for people and for finding a connection."`
	Description string          `json:"description,omitempty" jsonschema_description:"What the component is for."`
	Schema      json.RawMessage `json:"schema,omitempty" jsonschema_description:"The JSON Schema (draft 2020-12) of the spec of documents of the kind."`
	Modules     modulesSpec     `json:"modules" jsonschema:"minProperties=1" jsonschema_description:"The modules that provision the kind, by provisioner."`
	Outputs     json.RawMessage `json:"outputs,omitempty" jsonschema_description:"What the module's outputs are, for people."`

	Provisioner   string         `json:"provisioner,omitempty" jsonschema:"enum=terraform,enum=tofu,enum=pulumi" jsonschema_description:"The engine of resources of the kind that name none; without it the environment's or organization's default."`
	EngineVersion EngineVersions `json:"engineVersion,omitempty"`
}

// modulesSpec is a module per provisioner. One of terraform and tofu serves both.
type modulesSpec struct {
	Terraform *moduleSpec `json:"terraform,omitempty" jsonschema_description:"The module for Terraform; OpenTofu uses it too when it has none."`
	Tofu      *moduleSpec `json:"tofu,omitempty" jsonschema_description:"The module for OpenTofu; Terraform uses it too when it has none."`
	Pulumi    *moduleSpec `json:"pulumi,omitempty" jsonschema_description:"The Pulumi program."`
}

// JSONSchemaExtend asks for at least one module.
func (modulesSpec) JSONSchemaExtend(s *jsonschema.Schema) { s.MinProperties = new(uint64(1)) }

// moduleSpec says where a module is: a folder, or a folder of a Git repository. As a
// string it is the folder, or "https://host/repository.git//folder?ref=v1".
type moduleSpec struct {
	Path string   `json:"path,omitempty"`
	Git  *gitSpec `json:"git,omitempty"`
}

// gitSpec is a folder of a Git repository at a ref.
type gitSpec struct {
	URL  string `json:"url" jsonschema:"minLength=1" jsonschema_description:"The repository, https or ssh, without credentials."`
	Ref  string `json:"ref,omitempty" jsonschema_description:"A branch, a tag or a full commit hash; without it the default branch."`
	Path string `json:"path,omitempty" jsonschema_description:"The module's folder in the repository; without it the root."`
}

const modulePathText = `The module's folder in this repository: from the root when it starts with "/", from the document's folder when it starts with "./" or "../", else from the organization's folder.`

// JSONSchema is the schema of both forms.
func (moduleSpec) JSONSchema() *jsonschema.Schema {
	git := reflector().Reflect(gitSpec{})
	git.Version = ""
	object := func(name string, s *jsonschema.Schema) *jsonschema.Schema {
		props := jsonschema.NewProperties()
		props.Set(name, s)
		return &jsonschema.Schema{Type: "object", Properties: props, Required: []string{name}, AdditionalProperties: jsonschema.FalseSchema}
	}
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
		{Type: "string", MinLength: new(uint64(1)), Description: modulePathText},
		object("path", &jsonschema.Schema{Type: "string", Description: modulePathText}),
		object("git", git),
	}}
}

// UnmarshalJSON reads both forms.
func (m *moduleSpec) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &m.Path)
	}
	type object moduleSpec
	return json.Unmarshal(b, (*object)(m))
}

// iacModuleSpec is the spec of kind IacModule: our short form and Planton's.
type iacModuleSpec struct {
	Kind              string       `json:"kind,omitempty" jsonschema_description:"The kind whose module this is."`
	CloudResourceKind string       `json:"cloudResourceKind,omitempty" jsonschema_description:"The kind whose module this is (Planton's name of the field)."`
	Provisioner       string       `json:"provisioner" jsonschema:"enum=terraform,enum=tofu,enum=pulumi" jsonschema_description:"The engine that runs the module."`
	Path              *string      `json:"path,omitempty" jsonschema_description:"The module's folder in this repository."`
	Git               *gitSpec     `json:"git,omitempty" jsonschema_description:"The module's folder in a Git repository."`
	GitRepo           *gitRepoSpec `json:"gitRepo,omitempty" jsonschema_description:"The module's Git repository, as Planton writes it."`
	Description       string       `json:"description,omitempty"`
}

// gitRepoSpec is Planton's form of a Git source.
type gitRepoSpec struct {
	CloneURL   string `json:"cloneUrl" jsonschema:"minLength=1" jsonschema_description:"The repository, https or ssh, without credentials."`
	Branch     string `json:"branch,omitempty"`
	CommitSHA  string `json:"commitSha,omitempty" jsonschema_description:"A commit; it is used rather than the branch."`
	ProjectDir string `json:"projectDir,omitempty" jsonschema_description:"The module's folder in the repository."`
	RepoPath   string `json:"repoPath,omitempty" jsonschema_description:"The module's folder in the repository, when projectDir is not given."`
}

// terraformStackSpec is the spec of kind TerraformStack.
type terraformStackSpec struct {
	Module         moduleSpec      `json:"module" jsonschema_description:"Where the Terraform or OpenTofu code is."`
	Variables      json.RawMessage `json:"variables,omitempty" jsonschema_description:"The module's input variables; references are allowed anywhere."`
	VarFiles       []string        `json:"varFiles,omitempty" jsonschema_description:"Files of the module's folder to pass as -var-file, in order."`
	Provisioner    string          `json:"provisioner,omitempty" jsonschema:"enum=terraform,enum=tofu" jsonschema_description:"The engine; without it the environment's or organization's default."`
	EngineVersion  EngineVersions  `json:"engineVersion,omitempty"`
	EngineMove     EngineMove      `json:"engineMove,omitempty" jsonschema:"enum=state-from-terraform,enum=state-from-tofu" jsonschema_description:"Allows another engine to go on with the state that the named one wrote. Without it a change of the engine is refused."`
	Backend        *backendSpec    `json:"backend,omitempty" jsonschema_description:"Where the state is kept; without it a file in the daemon's data folder."`
	PreventDestroy bool            `json:"preventDestroy,omitempty" jsonschema_description:"Refuses every plan that destroys the stack."`
}

// JSONSchemaExtend says that variables are a map, of anything.
func (terraformStackSpec) JSONSchemaExtend(s *jsonschema.Schema) {
	if v, ok := s.Properties.Get("variables"); ok {
		v.Type = "object"
	}
}

// pulumiStackSpec is the spec of kind PulumiStack.
type pulumiStackSpec struct {
	Program         moduleSpec         `json:"program" jsonschema_description:"Where the Pulumi program is: a folder with a Pulumi.yaml."`
	Config          json.RawMessage    `json:"config,omitempty" jsonschema_description:"The stack's configuration: values by name (region) or namespace and name (aws:region). {secret: VALUE} marks one as secret; references are allowed anywhere."`
	Provisioner     string             `json:"provisioner,omitempty" jsonschema:"enum=pulumi" jsonschema_description:"The engine, which can only be pulumi."`
	EngineVersion   EngineVersions     `json:"engineVersion,omitempty"`
	Backend         *pulumiBackendSpec `json:"backend,omitempty" jsonschema_description:"Where the state is kept; without it a folder in the daemon's data folder."`
	SecretsProvider address            `json:"secretsProvider,omitempty" jsonschema_description:"What secrets in the state are encrypted with: passphrase (the daemon's own, and the default), or the URL of a key: awskms, azurekeyvault, gcpkms or hashivault."`
	Stack           *pulumiNameSpec    `json:"stack,omitempty" jsonschema_description:"The stack's name at Pulumi, for one that is there already."`
	PreventDestroy  bool               `json:"preventDestroy,omitempty" jsonschema_description:"Refuses every plan that destroys the stack."`
}

// JSONSchemaExtend says what the configuration looks like.
func (pulumiStackSpec) JSONSchemaExtend(s *jsonschema.Schema) {
	v, ok := s.Properties.Get("config")
	if !ok {
		return
	}
	v.Type = "object"
	v.PropertyNames = &jsonschema.Schema{Pattern: configKey.String()}
	v.AdditionalProperties = &jsonschema.Schema{If: &jsonschema.Schema{Type: "object", Required: []string{"secret"}},
		Then: &jsonschema.Schema{MaxProperties: new(uint64(1))}}
}

type pulumiBackendSpec struct {
	URL address `json:"url" jsonschema_description:"A URL of file, s3, gs, azblob, postgres or https (Pulumi Cloud), without credentials."`
}

// pulumiNameSpec are the parts of the name organization/project/stack.
type pulumiNameSpec struct {
	Organization string `json:"organization,omitempty" jsonschema_description:"The organization at Pulumi Cloud; other backends have none."`
	Project      string `json:"project,omitempty" jsonschema_description:"The project; without it the name in the program's Pulumi.yaml."`
	Name         string `json:"name,omitempty" jsonschema_description:"The stack's own name; without it <env>.<Kind>.<name>."`
}

// address is a URL that should hold no credential. Should it hold one all the same, no
// diagnostic shows it.
type address string

// JSONSchema is a text that is not shown.
func (address) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", MinLength: new(uint64(1)), Extras: map[string]any{"x-sensitive": true}}
}

type backendSpec struct {
	Type   string   `json:"type" jsonschema:"enum=local,enum=s3,enum=gcs,enum=azurerm,enum=http,enum=pg,enum=module" jsonschema_description:"The backend; \"module\" is whatever the module's own code declares."`
	Config settings `json:"config,omitempty" jsonschema_description:"The backend's settings, without credentials."`
}

// settings are texts. Numbers and booleans count as their text. A diagnostic never shows
// one: the setting may be a credential that should not be here.
type settings map[string]string

// JSONSchema is a map of scalars.
func (settings) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{
		AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}, Extras: map[string]any{"x-sensitive": true}}}
}

// UnmarshalJSON reads scalars as their text.
func (s *settings) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*s = make(settings, len(raw))
	for k, v := range raw {
		text := string(v)
		if len(v) > 0 && v[0] == '"' {
			if err := json.Unmarshal(v, &text); err != nil {
				return err
			}
		}
		(*s)[k] = text
	}
	return nil
}

// policySpec is the spec of kind FlowControlPolicy.
type policySpec struct {
	Selector    selectorSpec `json:"selector" jsonschema_description:"The resources that the policy is for."`
	FlowControl controlsSpec `json:"flowControl" jsonschema_description:"The controls; the most specific policy is used as a whole."`
	Prune       Prune        `json:"prune,omitempty" jsonschema:"enum=follow,enum=approve,enum=forbid" jsonschema_description:"What happens to a stack whose document is gone: as for any change (follow), always with approval (approve), or never (forbid)."`

	Approvals        *approvalsSpec `json:"approvals,omitempty" jsonschema_description:"Who must approve a plan before it is applied; with it every plan that changes something waits."`
	ApplyBeforeMerge bool           `json:"applyBeforeMerge,omitempty" jsonschema_description:"Approved plans may be applied from the pull request, before it is merged."`
	Override         *overrideSpec  `json:"override,omitempty" jsonschema_description:"Who may go past the approvals with a reason; without it nobody."`
}

type selectorSpec struct {
	Kind string `json:"kind" jsonschema:"minLength=1" jsonschema_description:"platform, organization, environment, or a resource kind in PascalCase or snake_case."`
	ID   string `json:"id,omitempty" jsonschema_description:"A slug, a glob such as ci-*, or *; without it *."`
}

type controlsSpec struct {
	IsManual                 bool  `json:"isManual,omitempty" jsonschema_description:"A job waits for approval before its first operation."`
	DisableOnLifecycleEvents bool  `json:"disableOnLifecycleEvents,omitempty" jsonschema_description:"Changes stay pending; no job starts by itself."`
	SkipRefresh              bool  `json:"skipRefresh,omitempty" jsonschema_description:"Plan without reading the real resources first."`
	Preview                  *bool `json:"previewBeforeUpdateOrDestroy,omitempty" jsonschema_description:"Always in effect: a plan is made before anything changes."`
	Pause                    bool  `json:"pauseBetweenPreviewAndUpdateOrDestroy,omitempty" jsonschema_description:"Wait for approval of the plan."`
	OldPreview               *bool `json:"previewBeforeUpdate,omitempty" jsonschema_description:"Older name of previewBeforeUpdateOrDestroy."`
	OldPause                 *bool `json:"pauseBetweenPreviewAndUpdate,omitempty" jsonschema_description:"Older name of pauseBetweenPreviewAndUpdateOrDestroy."`
}

// reflector makes schemas without identifiers of their own, in one piece.
func reflector() *jsonschema.Reflector {
	return &jsonschema.Reflector{Anonymous: true, ExpandedStruct: true, DoNotReference: true}
}
