package pulumi_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// readsStackInput reads the stack input from the places in which Planton's programs look,
// and tells what is in each.
const readsStackInput = `package main

import (
	"encoding/json"
	"os"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

type input struct {
	Target struct {
		Kind string
		Spec struct {
			Text, Password string
			Count          int
			Yes, Locked    bool
		}
	}
}

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		var given, file input
		text, ok := ctx.GetConfig("planton:stack-input")
		if ok {
			if err := json.Unmarshal([]byte(text), &given); err != nil {
				return err
			}
		}
		read, err := os.ReadFile(os.Getenv("STACK_INPUT_YAML_FILE"))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(read, &file); err != nil {
			return err
		}
		ctx.Export("given", pulumi.Bool(ok))
		ctx.Export("equal", pulumi.Bool(reflect.DeepEqual(given, file)))
		ctx.Export("secret", pulumi.Bool(ctx.IsConfigSecret("planton:stack-input")))
		ctx.Export("count", pulumi.Int(file.Target.Spec.Count))
		ctx.Export("password", pulumi.ToSecret(pulumi.String(file.Target.Spec.Password)))
		return nil
	})
}
`

// TestStackInputOfAProgramInGo: it is the same in the configuration and in the file, with a
// secret that is no text too, and in the file alone when it is too long for a variable.
func TestStackInputOfAProgramInGo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.withHosts()
	program := goModule(t)
	program["infra/main.go"] = readsStackInput
	b.Module(program)
	b.Task.ModulePath = "infra"
	b.Task.Pulumi.StackInput = true
	const password = "sesame"
	for _, c := range []struct {
		name, text string
		secret     []string
		want       map[string]string
	}{
		{"plain", "short", nil, map[string]string{"given": "true", "equal": "true", "secret": "false"}},
		{"a secret text and a secret truth value", "short", []string{"/target/spec/locked", "/target/spec/password"}, map[string]string{"given": "true", "equal": "true", "secret": "true"}},
		{"too long", strings.Repeat("long ", 40_000), []string{"/target/spec/password"}, map[string]string{"given": "false", "equal": "false", "secret": "false"}},
	} {
		b.Task.Pulumi.SecretInput = c.secret
		b.Inputs(map[string]any{"target": map[string]any{"kind": "Notice", "spec": map[string]any{"text": c.text, "count": 3, "yes": true, "locked": true, "password": password}}})
		got, secret := b.outputsOf(b.MustApply())
		c.want["count"], c.want["password"] = "3", `"`+password+`"`
		if diff := cmp.Diff(c.want, got); diff != "" || len(secret) != 1 {
			t.Errorf("%s: secret %q, outputs (-want +got):\n%s", c.name, secret, diff)
		}
	}
	b.Task.Action = stackjob.Destroy
	b.MustApply()
}
