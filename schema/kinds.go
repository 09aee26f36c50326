package schema

import (
	"encoding/json"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// The own kinds, written in documents with apiVersion "stackreeve.dev/v1" (or any
// Planton apiVersion of the same kind).
const (
	APIVersion = "stackreeve.dev/v1"

	KindOrganization        = "Organization"
	KindEnvironment         = "Environment"
	KindDeploymentComponent = "DeploymentComponent"
	KindIacModule           = "IacModule"
	KindFlowControlPolicy   = "FlowControlPolicy"
	KindTerraformStack      = "TerraformStack"
	KindPulumiStack         = "PulumiStack"
)

// Provisioner names the engine that runs a stack. The empty value means "not
// said": the organization's default, then the daemon's.
type Provisioner string

// The provisioners.
const (
	Terraform Provisioner = "terraform"
	OpenTofu  Provisioner = "tofu"
	Pulumi    Provisioner = "pulumi"
)

// Metadata is the part of a document that every kind shares.
type Metadata struct {
	// Name is the display name as written; Slug is its identity.
	Name        string            `json:"name"`
	Slug        string            `json:"slug,omitempty"`
	ID          string            `json:"id,omitempty"`
	Org         string            `json:"org,omitempty"`
	Env         string            `json:"env,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Tags        []string          `json:"tags,omitempty"`
	Group       string            `json:"group,omitempty"`
}

// Document is what every loaded document is made of.
type Document struct {
	APIVersion string
	Kind       string
	Metadata   Metadata
	// Pos is where the document starts; NamePos where metadata.name stands.
	Pos     diag.Position
	NamePos diag.Position
}

// Organization is the first folder level. An organization without a document has
// only its slug.
type Organization struct {
	Document
	Slug string
	Spec OrganizationSpec
}

// OrganizationSpec is the spec of kind Organization.
type OrganizationSpec struct {
	Description string `json:"description,omitempty" jsonschema_description:"What the organization is."`
	LogoURL     string `json:"logoUrl,omitempty" jsonschema_description:"A picture for pages that show the organization."`
	// Provisioner is the default engine of the organization's stacks.
	Provisioner Provisioner `json:"provisioner,omitempty" jsonschema:"enum=terraform,enum=tofu,enum=pulumi" jsonschema_description:"The default engine of the organization's stacks."`
	// EngineVersion says which versions of engines may run its stacks.
	EngineVersion EngineVersions `json:"engineVersion,omitempty"`
}

// Environment is the second folder level.
type Environment struct {
	Document
	Org, Slug string
	Spec      EnvironmentSpec
}

// EnvironmentSpec is the spec of kind Environment.
type EnvironmentSpec struct {
	Description string `json:"description,omitempty" jsonschema_description:"What the environment is for."`
	// PromotionOrder sorts environments for people: dev 1, prod 3.
	PromotionOrder int `json:"promotionOrder,omitempty" jsonschema_description:"Sorts environments for people: dev 1, prod 3."`
	// Protected refuses every destroy in the environment, as prevent-destroy
	// does for one resource.
	Protected bool `json:"protected,omitempty" jsonschema_description:"Refuses every destroy in the environment."`
	// Provisioner is the default engine of the environment's stacks.
	Provisioner Provisioner `json:"provisioner,omitempty" jsonschema:"enum=terraform,enum=tofu,enum=pulumi" jsonschema_description:"The default engine of the environment's stacks."`
	// EngineVersion says which versions of engines may run its stacks.
	EngineVersion EngineVersions `json:"engineVersion,omitempty"`
}

// ModuleSource says where a module's code is: a folder of the config repository
// (URL empty) or a folder of a Git repository at a ref.
type ModuleSource struct {
	// Path is the folder: from the root of the config repository, or of the
	// repository at URL. "" is that root.
	Path string `json:"path,omitempty"`
	// URL is the Git repository, https or ssh, without credentials in it.
	URL string `json:"url,omitempty"`
	// Ref is a branch, a tag or a full commit hash; "" the default branch.
	Ref string `json:"ref,omitempty"`
}

// IsLocal tells whether the module is a folder of the config repository.
func (m ModuleSource) IsLocal() bool { return m.URL == "" }

// String names the source as people write it: "path" or "url//path?ref=ref".
func (m ModuleSource) String() string {
	if m.IsLocal() {
		return m.Path
	}
	s := m.URL
	if m.Path != "" {
		s += "//" + m.Path
	}
	if m.Ref != "" {
		s += "?ref=" + m.Ref
	}
	return s
}

// Component is a DeploymentComponent: a catalogue entry that registers a kind,
// the JSON Schema of its spec and the modules that provision it.
type Component struct {
	Document
	// Org is the organization that it is registered for; "" the platform.
	Org string
	// RegisteredAPIVersion and RegisteredKind are what it registers.
	RegisteredAPIVersion, RegisteredKind string
	Provider                             string
	// Schema is the JSON Schema of spec (draft 2020-12), canonical JSON.
	Schema json.RawMessage
	// Modules are the component's own modules by provisioner.
	Modules map[Provisioner]ModuleSource
	// Provisioner is the engine of resources that name none; "" leaves that to the folder.
	Provisioner Provisioner
	// EngineVersions say which versions of engines may run its modules.
	EngineVersions EngineVersions
}

// Module is an IacModule: it overrides the module of a kind for an organization.
type Module struct {
	Document
	Org         string
	ForKind     string
	Provisioner Provisioner
	Source      ModuleSource
}

// Backend says where a stack's state is kept.
type Backend struct {
	// Type is "local" (a file in the daemon's data folder; the default),
	// "s3", "gcs", "azurerm", "http", "pg", or "module" for whatever the
	// module's own code declares.
	Type string `json:"type,omitempty"`
	// Config are the backend's settings, without credentials.
	Config map[string]string `json:"config,omitempty"`
}

// PassphraseProvider is the secrets provider of a stack that names no key: a passphrase
// that the daemon makes of its own key.
const PassphraseProvider = "passphrase"

// PulumiSettings say which of Pulumi's stacks a resource is, and where and under which
// key its state is kept. Names are those that Pulumi itself allows.
type PulumiSettings struct {
	// Organization is the first part of the full name organization/project/stack. ""
	// is the backend's own: "organization" in a file, a bucket or a database, which
	// have no other, and the one of whoever is logged in at Pulumi Cloud.
	Organization string `json:"organization,omitempty"`
	// Project is the second part. "" is the name in the program's Pulumi.yaml;
	// anything else takes that name's place.
	Project string `json:"project,omitempty"`
	// Stack is the last part, "<env>.<Kind>.<name>" where none is written. Never "".
	Stack string `json:"stack"`
	// BackendURL is where the state is kept: a URL of file, s3, gs, azblob, postgres
	// or (Pulumi Cloud) https, without credentials. "" is a folder of the stack's
	// own in the daemon's data folder.
	BackendURL string `json:"backendUrl,omitempty"`
	// SecretsProvider is what the secrets in the state are encrypted with:
	// PassphraseProvider, or the URL of a key (awskms, azurekeyvault, gcpkms,
	// hashivault). Never "".
	SecretsProvider string `json:"secretsProvider"`
	// SecretConfig are the keys of Inputs whose values are marked as secret, sorted.
	// What a sensitive output is put into is secret as well, and found out only when
	// the inputs are resolved.
	SecretConfig []string `json:"secretConfig,omitempty"`
	// StackInput says that Inputs are the one thing that a catalogue's program reads
	// ({"target": …}), and not a configuration of many keys.
	StackInput bool `json:"stackInput,omitempty"`
}

// Resource is a Cloud Resource: one document whose kind a component registers, or
// a TerraformStack or PulumiStack. It is what a stack is made of and what a Stack Job changes.
type Resource struct {
	Document
	Key ResourceKey
	// Module is where its code is, after IacModule, component and stack have
	// been consulted. Provisioner may be "" (the daemon's default).
	Module      ModuleSource
	Provisioner Provisioner
	// EngineVersions are all constraints on the engine's version that count for the
	// resource, the narrowest first: its own, its component's, its environment's, its
	// organization's. EngineMove allows a change of its engine. Neither is an input.
	EngineVersions EngineVersions
	EngineMove     EngineMove
	// Backend is for Terraform and OpenTofu, and the zero value for Pulumi.
	Backend Backend
	// Pulumi is for Pulumi, and nil for Terraform and OpenTofu.
	Pulumi *PulumiSettings
	// Inputs are the engine's variables as canonical JSON (sorted keys): exactly
	// {"metadata": …, "spec": …} for a catalogue kind (keys in the module's
	// spelling), or for its Pulumi program {"target": {apiVersion, kind, metadata,
	// spec}} (keys in the schema's spelling, as protobuf's JSON has it); the stack's
	// own variables for a TerraformStack, the configuration for a PulumiStack, with
	// {secret: x} as x. References are still in it as {"valueFrom": {kind, env, name, fieldPath}} with
	// kind and env filled in; Resolve puts the values there.
	Inputs json.RawMessage
	// SecretInputs are the places in Inputs (JSON pointers, sorted) of what the schema of a
	// catalogue kind says is secret. A PulumiStack's are keys: PulumiSettings.SecretConfig.
	SecretInputs []string
	// Spec is the spec as canonical JSON: what `spec.*` references of others read
	// (see Lookup). Fields have the names of the schema, defaults are filled in, and
	// {value: x} is x. What is secret is not in it: others would take it for plain.
	Spec json.RawMessage
	// VarFiles are files of the module's folder passed as -var-file, in order.
	VarFiles []string
	// References are the edges to its producers, in document order.
	References []Reference
	// PreventDestroy refuses every plan that destroys the stack.
	PreventDestroy bool
}

// ReferenceKind tells why an edge exists.
type ReferenceKind string

// The kinds of edges.
const (
	ValueFrom    ReferenceKind = "valueFrom"
	Relationship ReferenceKind = "relationship"
)

// Reference is an edge of the graph: From needs To.
type Reference struct {
	Kind ReferenceKind `json:"kind"`
	From ResourceKey   `json:"from"`
	To   ResourceKey   `json:"to"`
	// FieldPath is what is read, for a valueFrom: "status.outputs.…",
	// "spec.…" or "metadata.name".
	FieldPath string `json:"fieldPath,omitempty"`
	// Type is the relationship's type: depends_on, runs_on, managed_by, uses.
	Type string `json:"type,omitempty"`
	// Path is where it stands in the document: "spec.vpcId".
	Path string        `json:"path,omitempty"`
	Pos  diag.Position `json:"pos"`
}

// Controls are the five controls of flow control.
type Controls struct {
	// IsManual makes a job wait for approval before its first operation.
	IsManual bool `json:"isManual"`
	// DisableOnLifecycleEvents leaves changes pending: no job starts by itself.
	DisableOnLifecycleEvents bool `json:"disableOnLifecycleEvents"`
	// SkipRefresh plans without reading the real resources first.
	SkipRefresh bool `json:"skipRefresh"`
	// PreviewBeforeUpdateOrDestroy is always in effect: the plan is the product.
	// It is kept so that Planton's files load.
	PreviewBeforeUpdateOrDestroy bool `json:"previewBeforeUpdateOrDestroy"`
	// PauseBetweenPreviewAndUpdateOrDestroy waits for approval of the plan.
	PauseBetweenPreviewAndUpdateOrDestroy bool `json:"pauseBetweenPreviewAndUpdateOrDestroy"`
}

// SelectorLevel is how specific a policy is.
type SelectorLevel string

// The levels, least specific first.
const (
	SelectPlatform     SelectorLevel = "platform"
	SelectOrganization SelectorLevel = "organization"
	SelectEnvironment  SelectorLevel = "environment"
	SelectResource     SelectorLevel = "resource"
)

// Selector says which resources a policy is for.
type Selector struct {
	Level SelectorLevel `json:"level"`
	// Kind is the resource kind, in PascalCase, for SelectResource.
	Kind string `json:"kind,omitempty"`
	// ID is a slug, a glob or "*"; "" means "*".
	ID string `json:"id,omitempty"`
}

// Prune says what a policy thinks of destroying a stack whose document is gone.
type Prune string

// The answers. The empty value is PruneFollow.
const (
	PruneFollow  Prune = "follow"  // as flowControl says for any change
	PruneApprove Prune = "approve" // always waits for approval
	PruneForbid  Prune = "forbid"  // refused; the stack stays
)

// Policy is a FlowControlPolicy. It judges; it is never an input of a plan.
type Policy struct {
	Document
	// Org and Env are the folder it stands in: "" and "" for the platform,
	// Env "" for an organization's policies. It can select only below it.
	Org, Env string
	Selector Selector
	Controls Controls
	Prune    Prune
	// Approvals is what it wants of people; nil when it says nothing about who.
	Approvals *ApprovalRule
	// ApplyBeforeMerge lets an approved plan be applied from its pull request.
	ApplyBeforeMerge bool
	// Override lists who may go past the approvals; nobody when it is empty.
	Override []string
	// People are the persons meant, by organization; see PeopleIn.
	People map[string]PolicyPeople
}
