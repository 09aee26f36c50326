package reconciler

import (
	"encoding/json"
	"errors"
	"slices"
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
