package diff

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Desire is everything that a job for r would run. The reason says why it cannot be
// planned (its module cannot be had); Desired then lacks the module's revision.
func Desire(in Input, r *schema.Resource) (stackjob.Desired, *stackjob.Reason) {
	return desire(in, r, folderProvisioner(in, r.Key.Org, r.Key.Env))
}

// desire is Desire with the folder's default engine already known.
func desire(in Input, r *schema.Resource, folder schema.Provisioner) (stackjob.Desired, *stackjob.Reason) {
	d := stackjob.Desired{
		Key: r.Key, Name: r.Metadata.Name, Repository: in.Repository, Commit: in.Commit, File: r.Pos.File, Line: r.Pos.Line,
		Inputs: r.Inputs, Spec: r.Spec, VarFiles: r.VarFiles, Module: r.Module, Provisioner: r.Provisioner,
		Backend: r.Backend, Pulumi: in.Tree.PulumiSettings(r), PreventDestroy: r.PreventDestroy, Producers: producers(r),
	}
	if d.Provisioner == "" {
		d.Provisioner = folder
	}
	d.EngineVersion = r.EngineVersions.For(d.Provisioner)
	// Saying the default and not saying it must be the same desired state.
	if d.Backend.Type == "" {
		d.Backend.Type = "local"
	}
	if why := hideSecrets(in, r, &d); why != nil {
		return d, why
	}
	if why, failed := in.ModuleErrors[r.Module]; failed {
		return d, &stackjob.Reason{Code: stackjob.ReasonModule, Detail: r.Module.String() + ": " + why}
	}
	rev, ok := in.Revisions[r.Module]
	if !ok || rev == "" {
		return d, &stackjob.Reason{Code: stackjob.ReasonModule, Detail: r.Module.String() + ": its revision is not known"}
	}
	d.ModuleRevision = rev
	return d, nil
}

// hideSecrets takes what is marked as secret, in the document or by the schema of its kind,
// out of the inputs: what is desired is written down, and shown.
func hideSecrets(in Input, r *schema.Resource, d *stackjob.Desired) *stackjob.Reason {
	fail := func(err error) *stackjob.Reason {
		d.Inputs = json.RawMessage("{}")
		return &stackjob.Reason{Code: stackjob.ReasonInternal, Detail: "seal the secret inputs: " + err.Error()}
	}
	if len(r.SecretInputs) > 0 {
		if err := hideParts(in, r.SecretInputs, d); err != nil {
			return fail(err)
		}
	}
	if d.Pulumi == nil || len(d.Pulumi.SecretConfig) == 0 {
		return nil
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(d.Inputs, &values); err != nil {
		return fail(errors.New("the inputs are no map")) // its own words could quote a value
	}
	d.Secrets = map[string]stackjob.SecretInput{}
	for _, key := range d.Pulumi.SecretConfig {
		value, ok := values[key]
		if !ok {
			continue
		}
		sealed, err := in.Seal(value)
		if err != nil {
			return fail(err)
		}
		if values[key], err = schema.Blank(value); err != nil {
			return fail(errors.New("a value is no JSON"))
		}
		d.Secrets[key] = stackjob.SecretInput{Hash: in.Hash(value), Sealed: sealed}
	}
	raw, err := json.Marshal(values)
	if err != nil {
		return fail(errors.New("the inputs are no JSON"))
	}
	d.Inputs = raw
	return nil
}

// hideParts takes the parts at some places (JSON pointers) out of the inputs.
func hideParts(in Input, places []string, d *stackjob.Desired) error {
	d.Secrets = map[string]stackjob.SecretInput{}
	for _, place := range places {
		var err error
		d.Inputs, err = schema.ReplaceAt(d.Inputs, place, func(part json.RawMessage) (json.RawMessage, error) {
			sealed, err := in.Seal(part)
			if err != nil {
				return nil, err
			}
			d.Secrets[place] = stackjob.SecretInput{Hash: in.Hash(part), Sealed: sealed}
			return schema.Blank(part)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// folderProvisioner is the engine of resources that name none.
func folderProvisioner(in Input, org, env string) schema.Provisioner {
	if e, ok := in.Tree.Environment(org, env); ok && e.Spec.Provisioner != "" {
		return e.Spec.Provisioner
	}
	for _, o := range in.Tree.Organizations() {
		if o.Slug == org && o.Spec.Provisioner != "" {
			return o.Spec.Provisioner
		}
	}
	return in.DefaultProvisioner
}

// producers lists what r reads or must follow, sorted, each once.
func producers(r *schema.Resource) []schema.ResourceKey {
	if len(r.References) == 0 {
		return nil
	}
	out := make([]schema.ResourceKey, 0, len(r.References))
	for _, ref := range r.References {
		if ref.To != r.Key {
			out = append(out, ref.To)
		}
	}
	slices.SortFunc(out, schema.ResourceKey.Compare)
	return slices.Compact(out)
}
