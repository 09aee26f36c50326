package pulumi

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func TestWhatAPlanDoesNotAllowIsToldWithoutValues(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"it is protected": "it is protected",
		"resource urn:pulumi:dev::demo::lab:index:Data::g violates plan: properties changed: ~~value[{&{{canary-1}}}!={&{{canary-2}}}]": "resource urn:pulumi:dev::demo::lab:index:Data::g violates plan: properties changed: value",
		"resource violates plan: properties changed: ++a[{canary\nof two lines}!={x}], =-b, ~+c.d[{}], ++a[{1}]":                        "resource violates plan: properties changed: a, b, c.d",
		"resource u violates plan: properties changed: ++input[{canary, ~-}]":                                                           "resource u violates plan: properties changed: input",
		"resource u violates plan: provider changed (expected p)":                                                                       "resource u violates plan: provider changed (expected p)",
	} {
		if diff := cmp.Diff(want, withoutValues(message)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", message, diff)
		}
	}
}

func TestWordsOfNamesAreNotHidden(t *testing.T) {
	t.Parallel()
	d := &deployment{Resources: []stateResource{{URN: "urn:pulumi:dev::demo::kubernetes:core/v1:Secret::keys"}}}
	plan := savedPlan{ResourcePlans: map[string]resourcePlan{"urn:pulumi:dev::demo::lab:index:Data::made-now": {}}}
	got := facts.NotNames([]string{"s3cr3t-value", "kubernetes", "made-now", "s3cr3t-value"}, urns(d, plan))
	if !slices.Equal(got, []string{"s3cr3t-value"}) {
		t.Errorf("hidden are %q", got)
	}
}

// aPhase is one whose state is a file with this text.
func aPhase(t *testing.T, checkpoint string) *phase {
	t.Helper()
	dir := t.TempDir()
	task := engine.Task{Workspace: filepath.Join(dir, "workspace"), HashKey: []byte("key"), Pulumi: &engine.PulumiStack{SecretsProvider: passphrase, Passphrase: "ours"}}
	task.StateFile = filepath.Join(dir, ".pulumi", "stacks", "demo", "dev.json")
	p := newPhase(New(Options{}), task, "", enginetest.NewSink())
	p.keys = newKeyring("ours", task.HashKey, nil)
	var err error
	if p.stack, err = newStackAt("", "demo", "dev", "file://"+dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.at.makeFolders(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(task.StateFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(task.StateFile, []byte(checkpoint), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// The settings have a salt that fits, and the state one of a passphrase that somebody gave it
// by hand since.
func TestAStateOfAnotherPassphraseIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	other, err := newKeyring("theirs", []byte("key"), nil).newSalt([]byte("12345678"))
	if err != nil {
		t.Fatal(err)
	}
	p := aPhase(t, fmt.Sprintf(`{"version":3,"checkpoint":{"stack":"organization/demo/dev","latest":{
		"secrets_providers":{"type":"passphrase","state":{"salt":%q}},
		"resources":[{"urn":"urn:pulumi:dev::demo::lab:index:Data::d","type":"lab:index:Data","outputs":{"o":{%q:%q,"ciphertext":"c"}}}]}}}`,
		other, signatureKey, secretSignature))
	if p.record.Salt, err = p.keys.newSalt([]byte("abcdefgh")); err != nil {
		t.Fatal(err)
	}
	var pr *telling.Problem
	if err := p.settle(t.Context()); !errors.As(err, &pr) || !strings.Contains(pr.Failure.Text, "change-secrets-provider") {
		t.Errorf("settle: %v", err)
	}
}

func TestADamagedStateIsToldWithTheCommandThatPutsOneBack(t *testing.T) {
	t.Parallel()
	p := aPhase(t, `{"version":3,"checkpoint":{"stack":`)
	var pr *telling.Problem
	if err := p.settle(t.Context()); !errors.As(err, &pr) || pr.Failure.Reason.Code != stackjob.ReasonStateDamaged || !strings.Contains(pr.Failure.Text, "`reeve state restore`") {
		t.Errorf("settle: %v", err)
	}
}
