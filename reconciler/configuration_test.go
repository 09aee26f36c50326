package reconciler

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// keyring is a sealer whose sealed values are the clear ones behind a lock.
type keyring struct{ Sealer }

func (keyring) Open(sealed []byte) ([]byte, error) {
	if string(sealed) == "broken" {
		return nil, errors.New("another key")
	}
	return sealed[len("sealed "):], nil
}

func TestConfigurationIsSecretWhereItIsMarkedOrRead(t *testing.T) {
	t.Parallel()
	w := &Worker{o: WorkerOptions{Sealer: keyring{}}}
	d := stackjob.Desired{
		Inputs: json.RawMessage(`{"both":{"id":{"valueFrom":{"kind":"TerraformStack","env":"dev","name":"net","fieldPath":"status.outputs.id"}},"user":null},` +
			`"count":3,"read":{"valueFrom":{"kind":"TerraformStack","env":"dev","name":"net","fieldPath":"status.outputs.key"}},"text":"plain"}`),
		Secrets: map[string]stackjob.SecretInput{"both": {Sealed: []byte(`sealed {"id":{"valueFrom":{"kind":"TerraformStack","env":"dev","name":"net","fieldPath":"status.outputs.id"}},"user":"canary"}`)}},
	}
	var out resolved
	resolve := func(value jsonValue) (jsonValue, bool, error) {
		sensitive := false
		v, err := schema.Resolve(value, func(ref schema.Reference) (jsonValue, error) {
			sensitive = sensitive || ref.FieldPath == "status.outputs.key"
			return json.RawMessage(`"of ` + ref.FieldPath + `"`), nil
		})
		return v, sensitive, err
	}
	if err := w.configuration(d, &out, resolve); err != nil {
		t.Fatal(err)
	}
	const want = `{"both":{"id":"of status.outputs.id","user":"canary"},"count":3,"read":"of status.outputs.key","text":"plain"}`
	if string(out.inputs) != want {
		t.Errorf("inputs = %s\nwant     %s", out.inputs, want)
	}
	if !slices.Equal(out.secretKeys, []string{"both", "read"}) {
		t.Errorf("secret are %v", out.secretKeys)
	}
	if !slices.Contains(out.secrets, "canary") || !slices.Contains(out.secrets, "of status.outputs.id") {
		t.Errorf("masked are %q", out.secrets)
	}

	d.Secrets["both"] = stackjob.SecretInput{Sealed: []byte("broken")}
	if err := w.configuration(d, &resolved{}, resolve); err == nil {
		t.Error("a value that cannot be opened was left out in silence")
	}
}

func TestInputsAreSecretWhereTheSchemaSaysSoOrASensitiveOutputGoes(t *testing.T) {
	t.Parallel()
	reference := func(field string) string {
		return `{"valueFrom":{"kind":"TerraformStack","env":"dev","name":"net","fieldPath":"status.outputs.` + field + `"}}`
	}
	w := &Worker{o: WorkerOptions{Sealer: keyring{}}}
	d := stackjob.Desired{
		Inputs: json.RawMessage(`{"target":{"spec":{"a/b":[` + reference("id") + `,{"value":` + reference("key") + `}],"password":null,"token":` + reference("key") + `,"unset":null}}}`),
		Secrets: map[string]stackjob.SecretInput{"/target/spec/password": {Sealed: []byte(`sealed {"is":"canary"}`)},
			"/target/spec/token": {Sealed: []byte("sealed " + reference("key"))}},
	}
	var out resolved
	get := func(ref schema.Reference) (jsonValue, bool, error) {
		return json.RawMessage(`"of ` + ref.FieldPath + `"`), ref.FieldPath == "status.outputs.key", nil
	}
	if err := w.variables(d, &out, get); err != nil {
		t.Fatal(err)
	}
	const want = `{"target":{"spec":{"a/b":["of status.outputs.id",{"value":"of status.outputs.key"}],"password":{"is":"canary"},"token":"of status.outputs.key","unset":null}}}`
	if string(out.inputs) != want {
		t.Errorf("inputs = %s\nwant     %s", out.inputs, want)
	}
	if places := []string{"/target/spec/a~1b/1/value", "/target/spec/password", "/target/spec/token"}; !slices.Equal(out.secretParts, places) {
		t.Errorf("secret are %q", out.secretParts)
	}
	if !slices.Contains(out.secrets, "canary") {
		t.Errorf("masked are %q", out.secrets)
	}
	missing := errors.New("missing")
	if err := w.variables(d, &resolved{}, func(schema.Reference) (jsonValue, bool, error) { return nil, false, missing }); !errors.Is(err, missing) {
		t.Errorf("a value that is not there: %v", err)
	}
	d.Secrets["/target/spec/password"] = stackjob.SecretInput{Sealed: []byte("broken")}
	if err := w.variables(d, &resolved{}, get); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a value that cannot be opened: %v", err)
	}
}
