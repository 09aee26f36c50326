package pulumi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/begun"
	"github.com/stackreeve/stackreeve/reconciler/engine/enginetest"
	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

func TestCommandsAreShownWithoutValues(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"preview --exec-kind=auto.local --save-plan=/x/canary --refresh --event-log tcp://x --stack org/p/canary": "preview --save-plan --refresh",
		"up --yes --skip-preview --exec-kind=x --plan=/canary --stack canary":                                     "up --yes --plan",
		"--non-interactive stack init --stack canary --secrets-provider=canary":                                   "stack init",
		"config set --secret --stack=canary --config-file=/canary canary":                                         "config set --secret",
		"stack export --stack canary --show-secrets":                                                              "stack export",
		"install": "install",
	} {
		if got := strings.Join(shown(strings.Fields(args)), " "); got != want {
			t.Errorf("%q is shown as %q, want %q", args, got, want)
		}
	}
}

func TestOnlyWhatIsKnownIsAnsweredWithoutAProcess(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]bool{
		"stack select --stack x": true, "stack output --json --stack x": true, "stack history --json": true,
		"stack init x": false, "stack export --stack x": false, "stack import": false, "up --stack select": false, "preview": false, "stack": false,
	} {
		if answer, ok := answered(strings.Fields(args)); ok != want || ok && answer != "" && !json.Valid([]byte(answer)) {
			t.Errorf("%q: %q, %t", args, answer, ok)
		}
	}
}

const lockedText = `error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock file with ` + "`pulumi cancel`" + `.
  file:///data/state/.pulumi/locks/organization/demo/dev/0f7c7b1e-aaaa-bbbb-cccc-000000000001.json?no_tmp_dir=true: created by root@box (pid 4242) at 2026-11-21T21:00:00Z
`

func TestLocksAreReadFromWhatTheEngineSays(t *testing.T) {
	t.Parallel()
	want := &engine.StateLock{ID: "0f7c7b1e-aaaa-bbbb-cccc-000000000001", Path: "file:///data/state/.pulumi/locks/organization/demo/dev/0f7c7b1e-aaaa-bbbb-cccc-000000000001.json",
		Who: "root@box", PID: 4242, CreatedAt: time.Date(2026, 11, 21, 21, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(want, parseLock(lockedText)); diff != "" {
		t.Errorf("lock (-want +got):\n%s", diff)
	}
	if l := parseLock(lockedText + strings.ReplaceAll(strings.Split(lockedText, "\n")[1], "4242", "4243") + "\n"); l != nil {
		t.Errorf("one of two locks: %+v", l)
	}
	if l := parseLock("error: [409] Conflict: Another update is currently in progress."); l != nil {
		t.Errorf("a lock that nobody describes: %+v", l)
	}
}

func TestFailuresHaveAClass(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]struct {
		class engine.Class
		code  stackjob.ReasonCode
	}{
		lockedText: {engine.ClassPerson, stackjob.ReasonStateLocked},
		"error: [409] Conflict: Another update is currently in progress.":                      {engine.ClassPerson, stackjob.ReasonStateLocked},
		"resource urn:x violates plan: properties changed: +-text[{one}!={two}]":               {engine.ClassPerson, stackjob.ReasonEngine},
		"write /x: no space left on device":                                                    {engine.ClassWait, stackjob.ReasonDiskFull},
		"error: could not create secrets manager: incorrect passphrase":                        {engine.ClassPerson, stackjob.ReasonEngine},
		"error: no language plugin 'pulumi-language-go' found in the workspace or on your":     {engine.ClassPerson, stackjob.ReasonEngineMissing},
		"Could not find plugin: no resource plugin 'pulumi-resource-aws' found":                {engine.ClassPerson, stackjob.ReasonEngineMissing},
		"dial tcp: lookup example.org: no such host":                                           {engine.ClassWait, stackjob.ReasonEngine},
		"AccessDenied: you may not":                                                            {engine.ClassPerson, stackjob.ReasonEngine},
		"panic: runtime error":                                                                 {engine.ClassBug, stackjob.ReasonEngine},
		"error: resource 'kept' has an unknown property 'valeu'":                               {engine.ClassAuthor, stackjob.ReasonEngine},
		"error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions": {engine.ClassPerson, stackjob.ReasonEngine},
	} {
		if class, code := classify(said, false); class != want.class || code != want.code {
			t.Errorf("%q: %s %s, want %s %s", said, class, code, want.class, want.code)
		}
	}
}

// A program that runs Pulumi itself quotes what that says of another stack.
func TestOnlyTheEngineItselfSaysThatTheStackIsLocked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		diagnostic, stderr string
		want               stackjob.Reason
	}{
		"the engine":  {"", lockedText, stackjob.Reason{Code: stackjob.ReasonStateLocked, Detail: "root@box (pid 4242), lock 0f7c7b1e-aaaa-bbbb-cccc-000000000001"}},
		"the program": {"update the inner stack: exit status 255. " + lockedText, "", stackjob.Reason{Code: stackjob.ReasonEngine, Detail: "update the inner stack: exit status 255"}},
		"the program, on standard error": {"Program exited with non-zero exit code: 1", lockedText,
			stackjob.Reason{Code: stackjob.ReasonEngine, Detail: "Program exited with non-zero exit code: 1: error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock file with `pulumi cancel`"}},
		"a disk of somebody else's": {"writing to the bucket: no space left on device", "", stackjob.Reason{Code: stackjob.ReasonDiskFull, Detail: "writing to the bucket: no space left on device"}},
	} {
		v := newPhase(New(Options{}), engine.Task{Workspace: "/w"}, "", enginetest.NewSink()).voice(stackjob.OpPlan, nil)
		if c.diagnostic != "" {
			v.hear(apitype.EngineEvent{DiagnosticEvent: &apitype.DiagnosticEvent{Severity: "error", Message: c.diagnostic}})
		}
		if _, err := v.errorOutput().Write([]byte(c.stderr)); err != nil {
			t.Fatal(err)
		}
		v.end()
		f := engineProblem(t.Context(), errors.New("exit status 255"), "plan", v).Failure
		if f.Reason != c.want || (f.Lock != nil) != (c.want.Code == stackjob.ReasonStateLocked) {
			t.Errorf("%s: %+v, lock %+v", name, f.Reason, f.Lock)
		}
	}
}

// What the engine says of a plan that a program does not keep to, in all its ways.
func TestAProgramThatDoesNotKeepToItsPlanIsExplained(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]bool{
		"resource urn:x violates plan: properties changed: text":                                      true,
		"create is not allowed by the plan: no steps were expected for this resource":                 true,
		"create is not allowed by the plan: this resource is constrained to same":                     true,
		"no plan for resource urn:pulumi:dev::demo::lab:index:Data::late":                             true,
		"expected resource operations for urn:pulumi:dev::demo::lab:index:Data::x but none were seen": true,
		"resource 'kept' has an unknown property 'valeu'":                                             false,
	} {
		v := newPhase(New(Options{}), engine.Task{Workspace: "/w"}, "", enginetest.NewSink()).voice(stackjob.OpPlan, nil)
		v.hear(apitype.EngineEvent{DiagnosticEvent: &apitype.DiagnosticEvent{Severity: "error", Message: said}})
		f := engineProblem(t.Context(), errors.New("exit status 255"), "apply", v).Failure
		if got := strings.Contains(f.Text, "not what was planned and approved"); got != want || f.Reason.Code != stackjob.ReasonEngine {
			t.Errorf("%q: %s\n%s", said, f.Reason, f.Text)
		}
	}
}

func TestProjectsAreRenamedInPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"name: old\nruntime: yaml\n":                       "name: new\nruntime: yaml\n",
		"# é\nruntime: {name: go}\nname: \"old\" # kept\n": "# é\nruntime: {name: go}\nname: new # kept\n",
		"{name: 'old', runtime: yaml}":                     "{name: new, runtime: yaml}",
		"description: ééé name: x\nname:   old":            "",
	} {
		p, err := parseProject("Pulumi.yaml", []byte(text))
		if want == "" {
			if err == nil {
				t.Errorf("%q is a project", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got, err := p.named("new"); err != nil || string(got) != want {
			t.Errorf("%q is renamed to %q, %v", text, got, err)
		}
	}
	p, err := parseProject("Pulumi.yaml", []byte("name: >-\n  old\nruntime: yaml\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.named("new"); err == nil {
		t.Errorf("a folded name is renamed to %q", got)
	}
}

func TestEmptyProjectsKeepPlugins(t *testing.T) {
	t.Parallel()
	p, err := parseProject("Pulumi.yaml", []byte("name: x\nruntime: nodejs\nconfig: {a: {type: string}}\nplugins: {providers: [{name: a, path: ../bin}, {name: b, path: /abs}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := p.empty("y", "/srv/lab/root/net")
	if err != nil {
		t.Fatal(err)
	}
	again, err := parseProject("Pulumi.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"providers": []any{map[string]any{"name": "a", "path": "/srv/lab/root/bin"}, map[string]any{"name": "b", "path": "/abs"}}}
	if diff := cmp.Diff(want, again.plugins); diff != "" || again.name != "y" || again.runtime != "go" || strings.Contains(string(text), "config") {
		t.Errorf("plugins (-want +got):\n%s\n%s", diff, text)
	}
}

func TestPropertiesAreReadWithTheirMarks(t *testing.T) {
	t.Parallel()
	secret := func(field, text string) map[string]any {
		return map[string]any{signatureKey: secretSignature, field: text}
	}
	open := func(c string) (string, error) {
		if c == "broken" {
			return "", errors.New("broken")
		}
		return c, nil
	}
	for name, c := range map[string]struct {
		in     any
		want   property
		closed bool
	}{
		"plain":          {map[string]any{"a": []any{"x", true}}, property{value: map[string]any{"a": []any{"x", true}}}, false},
		"unknown":        {[]any{"x", unknownSentinel}, property{value: []any{"x", nil}, unknown: []any{nil, true}}, false},
		"secret":         {map[string]any{"a": secret("ciphertext", `{"b":"c"}`)}, property{value: map[string]any{"a": map[string]any{"b": "c"}}, sensitive: map[string]any{"a": true}}, false},
		"in clear":       {secret("plaintext", `"x"`), property{value: "x", sensitive: true}, false},
		"hidden":         {secret("ciphertext", hiddenSecret), property{sensitive: true}, true},
		"broken":         {map[string]any{"a": secret("ciphertext", "broken"), "b": "x"}, property{value: map[string]any{"a": nil, "b": "x"}, sensitive: map[string]any{"a": true}}, true},
		"unknown secret": {secret("plaintext", `"`+unknownSentinel+`"`), property{sensitive: true, unknown: true}, false},
		"an asset":       {map[string]any{signatureKey: "c44067f5952c0a294b673a41bacd8c17", "hash": "x"}, property{value: map[string]any{"hash": "x"}}, false},
	} {
		got, err := readProperty(c.in, open)
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(property{})); diff != "" || (err != nil) != c.closed {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestKeysAreMadeOnceAndOpenedByTheDaemonAlone(t *testing.T) {
	t.Parallel()
	k := newKeyring("phrase", []byte("a key"), nil)
	salt, err := k.newSalt([]byte("8 bytes!"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := k.crypter(salt)
	if err != nil || !k.made {
		t.Fatalf("crypter: %v, made %t", err, k.made)
	}
	text, err := c.EncryptValue(context.Background(), "hush")
	if err != nil {
		t.Fatal(err)
	}
	// What Pulumi itself makes of passphrase and salt.
	theirs := config.NewSymmetricCrypterFromPassphrase("phrase", []byte("8 bytes!"))
	if got, err := theirs.DecryptValue(context.Background(), text); err != nil || got != "hush" {
		t.Errorf("Pulumi reads %q, %v", got, err)
	}
	again := newKeyring("phrase", []byte("a key"), k.sealed)
	if got, err := again.decrypter("", salt)(text); err != nil || got != "hush" || again.made {
		t.Errorf("with the sealed key: %q, %v, made %t", got, err, again.made)
	}
	other := newKeyring("phrase", []byte("another key"), k.sealed)
	if got, err := other.decrypter(salt)(text); err != nil || got != "hush" || !other.made {
		t.Errorf("with another daemon's key: %q, %v, made %t", got, err, other.made)
	}
	if _, err := newKeyring("wrong", []byte("a key"), k.sealed).crypter(salt); !errors.Is(err, errPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Split(salt, ":")[1])
	if err != nil || string(raw) != "8 bytes!" {
		t.Errorf("salt = %q, %v", raw, err)
	}
	for _, bad := range []string{"", "v1", "v1:!:x", "v1:eA==:x"} {
		if _, err := k.crypter(bad); err == nil {
			t.Errorf("%q is a salt", bad)
		}
	}
}

func TestPlacesOfStates(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"s3://bucket/path", "s3://bucket/path/", "s3://bucket/path?region=eu-west-1", "s3://key:secret@bucket/path"},
	} {
		first := ""
		for _, u := range same {
			s, err := newStackAt("", "p", "s", u, nil)
			if err != nil {
				t.Fatal(err)
			}
			if first == "" {
				first = s.where()
			}
			if s.where() != first {
				t.Errorf("%s is %q, not %q", u, s.where(), first)
			}
		}
	}
	for _, c := range []struct {
		one, other       string
		env, environment map[string]string // of one and of the other
		same             bool
	}{
		{one: "s3://b?endpoint=http://a:9000", other: "s3://b?endpoint=http://b:9000"},
		{one: "s3://b?endpoint=http://a:9000", other: "s3://b", environment: map[string]string{"AWS_ENDPOINT_URL": "http://a:9000"}, same: true},
		{one: "s3://b", other: "s3://b", environment: map[string]string{"AWS_ENDPOINT_URL_S3": "http://a:9000"}},
		{one: "s3://b", other: "s3://b", environment: map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x"}, same: true},
		{one: "azblob://c", other: "azblob://c", env: map[string]string{"AZURE_STORAGE_ACCOUNT": "a"}, environment: map[string]string{"AZURE_STORAGE_ACCOUNT": "b"}},
		{one: "azblob://c?storage_account=a", other: "azblob://c", environment: map[string]string{"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": "x"}, same: true},
		{one: "gs://b/p", other: "gs://b/q"},
		{one: "gs://b/p", other: "gs://b/p", environment: map[string]string{"GOOGLE_CREDENTIALS": "{}"}, same: true},
		{one: "postgres://u@h/d?table=a", other: "postgres://u@h/d?table=b"},
		{one: "postgres://u@h/d?sslmode=disable", other: "postgres://v:pw@h/d?table=pulumi_state", same: true},
		{one: "https://api.pulumi.com", other: "https://pulumi.example.com"},
		{one: "https://api.pulumi.com", other: "https://api.pulumi.com", environment: map[string]string{"PULUMI_ACCESS_TOKEN": "x"}, same: true},
	} {
		one, err := newStackAt("", "p", "s", c.one, c.env)
		other, err2 := newStackAt("", "p", "s", c.other, c.environment)
		if err != nil || err2 != nil || (one.where() == other.where()) != c.same {
			t.Errorf("%+v: %q and %q, %v, %v", c, one.where(), other.where(), err, err2)
		}
	}
	if s, err := newStackAt("", "p", "s", "postgres://u:p%40ss@h/d?sslmode=disable", nil); err != nil || s.url != "postgres://u@h/d?sslmode=disable" || s.password != "p@ss" {
		t.Errorf("a password in a URL: %+v, %v", s, err)
	}
	for _, bad := range []string{"", "bucket", "file://relative/x", "file://~"} {
		if _, err := newStackAt("", "p", "s", bad, nil); err == nil && bad != "file://relative/x" {
			t.Errorf("%q is a backend", bad)
		}
	}
	for _, c := range []struct{ organization, backend, name, checkpoint string }{
		{"", "file:///data/x", "organization/p/s", "/data/x/.pulumi/stacks/p/s.json"},
		{"acme", "s3://b", "organization/p/s", ""},
		{"acme", "https://api.pulumi.com", "acme/p/s", ""},
		{"", "https://api.pulumi.com", "p/s", ""},
	} {
		s, err := newStackAt(c.organization, "p", "s", c.backend, nil)
		if err != nil || s.name() != c.name || s.checkpoint() != c.checkpoint {
			t.Errorf("%+v: %s, %s, %v", c, s.name(), s.checkpoint(), err)
		}
	}
}

func TestAFolderIsToKeepNoAttributes(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"file:///data/x":                  "file:///data/x?metadata=skip",
		"file:///data/a b?":               "file:///data/a b?metadata=skip",
		"file:///data/x?no_tmp_dir=false": "file:///data/x?no_tmp_dir=false&metadata=skip",
		"file:///data/x?metadata=":        "file:///data/x?metadata=", // somebody wants them
		"s3://b/x?region=eu-west-1":       "s3://b/x?region=eu-west-1",
		"https://api.pulumi.com":          "https://api.pulumi.com",
	} {
		if got := engineURL(given); got != want {
			t.Errorf("%s: %s, expected %s", given, got, want)
		}
	}
}

func TestWhatAnApplyDidIsCounted(t *testing.T) {
	t.Parallel()
	event := func(op apitype.OpType, name string, done bool) apitype.EngineEvent {
		md := apitype.StepEventMetadata{Op: op, URN: "urn:pulumi:dev::p::lab:index:Data::" + name, Old: &apitype.StepEventStateMetadata{RetainOnDelete: name == "retained"}}
		if done {
			return apitype.EngineEvent{ResOutputsEvent: &apitype.ResOutputsEvent{Metadata: md}}
		}
		return apitype.EngineEvent{ResourcePreEvent: &apitype.ResourcePreEvent{Metadata: md}}
	}
	var notes []string
	h := newApplyHearing(func(verb, address string) { notes = append(notes, verb+" "+nameOf(address)) })
	for _, e := range []apitype.EngineEvent{
		event(apitype.OpRefresh, "r", false), event(apitype.OpRefresh, "r", true), event(apitype.OpSame, "same", false), event(apitype.OpSame, "same", true),
		event(apitype.OpCreateReplacement, "r", false), event(apitype.OpCreateReplacement, "r", true), event(apitype.OpReplace, "r", false), event(apitype.OpReplace, "r", true),
		event(apitype.OpDeleteReplaced, "r", false), event(apitype.OpDeleteReplaced, "r", true),
		event(apitype.OpCreateReplacement, "half", false), event(apitype.OpCreateReplacement, "half", true),
		event(apitype.OpCreate, "c", false), event(apitype.OpCreate, "c", true), event(apitype.OpUpdate, "u", false), event(apitype.OpUpdate, "u", true),
		event(apitype.OpDelete, "d", true), event(apitype.OpDelete, "retained", true), event(apitype.OpImport, "i", true), event(apitype.OpCreate, "open", false),
		{ResOutputsEvent: &apitype.ResOutputsEvent{Metadata: apitype.StepEventMetadata{Op: apitype.OpCreate, URN: "urn:pulumi:dev::p::pulumi:providers:lab::default"}}},
	} {
		h.hear(e)
	}
	want := stackjob.Counts{Create: 2, Update: 1, Delete: 1, Replace: 1, Import: 1, Forget: 1}
	if diff := cmp.Diff(want, h.counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"begin r", "begin r", "done r", "begin half", "begin c", "done c", "begin u", "done u", "done d", "done retained", "done i", "begin open"}, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

// A program that ends by itself has said why on its standard error, with the paths of a
// workspace that is nobody's.
func TestAProgramThatEndsByItselfIsQuoted(t *testing.T) {
	t.Parallel()
	p := newPhase(New(Options{}), engine.Task{Workspace: "/w", ModulePath: "infra"}, "", enginetest.NewSink())
	v := p.voice(stackjob.OpPlan, nil)
	const left = "an unhandled error occurred: program exited with non-zero exit code: 2"
	for _, said := range []string{"# example.com/infra", "panic: at run time", "", "goroutine 1 [running]:", "\t/w/root/infra/main.go:3 +0x25", "\t/w/root/names/names.go:7"} {
		v.hear(apitype.EngineEvent{DiagnosticEvent: &apitype.DiagnosticEvent{Severity: "info#err", Message: said}})
	}
	v.hear(apitype.EngineEvent{DiagnosticEvent: &apitype.DiagnosticEvent{Severity: "error", Message: left}})
	if got, want := v.firstSummary(), left+": panic: at run time"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if said := v.said(); !strings.Contains(said, "\nmain.go:3 +0x25\nnames/names.go:7\n") {
		t.Errorf("the paths are not its author's: %s", said)
	}
	v = p.voice(stackjob.OpPlan, nil)
	v.hear(apitype.EngineEvent{DiagnosticEvent: &apitype.DiagnosticEvent{Severity: "info#err", Message: "a word"}})
	v.hear(apitype.EngineEvent{DiagnosticEvent: &apitype.DiagnosticEvent{Severity: "error", Message: "no such property"}})
	if got := v.firstSummary(); got != "no such property" {
		t.Errorf("another error: %q", got)
	}
}

// Providers are no resources; a plan about nothing else must not look like one about nothing.
func TestPlansTellOfProviders(t *testing.T) {
	t.Parallel()
	step := func(op apitype.OpType, typ, name string, diffs ...string) apitype.EngineEvent {
		urn := "urn:pulumi:dev::p::" + typ + "::" + name
		md := apitype.StepEventMetadata{Op: op, URN: urn, Type: typ, Diffs: diffs, Old: &apitype.StepEventStateMetadata{URN: urn, Type: typ}, New: &apitype.StepEventStateMetadata{URN: urn, Type: typ}}
		return apitype.EngineEvent{ResourcePreEvent: &apitype.ResourcePreEvent{Metadata: md}}
	}
	const aws = "pulumi:providers:aws"
	upgrade := []apitype.EngineEvent{step(apitype.OpCreate, aws, "default_7_0_0"), step(apitype.OpSame, "aws:s3:Bucket", "logs"), step(apitype.OpDelete, aws, "default_6_9_0")}
	moved := []apitype.EngineEvent{step(apitype.OpUpdate, aws, "main", "region", "profile"), step(apitype.OpSame, aws, "other")}
	change := step(apitype.OpUpdate, "aws:s3:Bucket", "logs")
	for name, c := range map[string]struct {
		events []apitype.EngineEvent
		want   []string
	}{
		"another version alone":   {upgrade, []string{"Warning: The provider default_6_9_0 (aws) goes.", "Warning: The provider default_7_0_0 (aws) is new."}},
		"with a change":           {append(slices.Clone(upgrade), change), nil},
		"settings alone":          {moved, []string{"Warning: The provider main (aws) changes: profile, region."}},
		"settings, with a change": {append(slices.Clone(moved), change), []string{"Warning: The provider main (aws) changes: profile, region."}},
	} {
		plan, err := converter{state: &deployment{}}.convert(told{events: c.events})
		if err != nil || !plan.HasChanges {
			t.Fatalf("%s: %+v, %v", name, plan, err)
		}
		if diff := cmp.Diff(c.want, plan.Warnings); diff != "" || plan.Providers != len(c.want) {
			t.Errorf("%s: %d providers, warnings (-want +got):\n%s", name, plan.Providers, diff)
		}
	}
}

func TestWhatAnApplyDestroysHasAReason(t *testing.T) {
	t.Parallel()
	list := []stackjob.ResourceChange{{Address: "a", Action: stackjob.Delete}, {Address: "b" + deposed, Action: stackjob.Delete},
		{Address: "c", Action: stackjob.Replace, Why: "tainted"}, {Address: "d", Action: stackjob.Update}, {Address: "e", Action: stackjob.Forget}}
	sayWhy(list)
	var got []string
	for _, r := range list {
		got = append(got, r.Why)
	}
	if diff := cmp.Diff([]string{notInProgram, "", "tainted", "", ""}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPendingOperationsAreTakenOutAlone(t *testing.T) {
	t.Parallel()
	d, err := parseCheckpoint([]byte(`{"version":3,"checkpoint":{"stack":"x","latest":{"manifest":{"time":"a"},"resources":[{"urn":"u","type":"t","inputs":{"n":12345678901234567890}}],"pending_operations":[{"resource":{"urn":"v"},"type":"creating"}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	clean, err := d.withoutPending()
	if err != nil || len(clean.Pending) != 0 || len(clean.Resources) != 1 || len(d.Pending) != 1 {
		t.Fatalf("clean = %+v, %v", clean, err)
	}
	text, err := clean.export()
	if err != nil || !strings.Contains(string(text), "12345678901234567890") || strings.Contains(string(text), "pending_operations") {
		t.Errorf("export = %s, %v", text, err)
	}
	key := []byte("k")
	if d.mark(key) == clean.mark(key) {
		t.Error("pending operations are not in the mark")
	}
	later, err := parseCheckpoint([]byte(`{"version":3,"checkpoint":{"latest":{"manifest":{"time":"b"},"resources":[ {"urn":"u","type":"t","inputs":{"n":12345678901234567890}} ]}}}`))
	if err != nil || later.mark(key) != clean.mark(key) {
		t.Errorf("the manifest is in the mark: %v", err)
	}
}

func TestPendingOperationsAreOursWhenTheNoteNamesOne(t *testing.T) {
	t.Parallel()
	var a, b pendingOperation
	a.Resource.URN, b.Resource.URN = "a", "b"
	for _, c := range []struct {
		name    string
		pending []pendingOperation
		left    *begun.Work
		want    bool
	}{
		{"no note", []pendingOperation{a}, nil, false},
		{"nothing was heard", []pendingOperation{a}, &begun.Work{}, false},
		{"another's", []pendingOperation{a}, &begun.Work{Order: []string{"b"}}, false},
		{"it", []pendingOperation{a}, &begun.Work{Order: []string{"b", "a"}}, true},
		{"one of them was not heard", []pendingOperation{a, b}, &begun.Work{Order: []string{"b"}}, true},
	} {
		if got := isOurs(c.pending, c.left); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestProgramDigestIsOfItsFilesAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	digest := func() string {
		t.Helper()
		d, err := (&project{runtime: "python", options: runtimeOptions{Virtualenv: "tools/own"}}).digest(dir)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	write("Pulumi.yaml", "name: x")
	write("lib/a", "1")
	first := digest()
	for _, name := range []string{"node_modules/x/index.js", "lib/__pycache__/a.pyc", ".git/HEAD", "venv/bin/python", "tools/own/bin/python"} {
		write(name, "x")
	}
	if digest() != first {
		t.Error("what languages make is in the digest")
	}
	seen := map[string]bool{first: true}
	for i, change := range []func(){
		func() { write("lib/a", "2") }, func() { write("lib/b", "2") }, func() { write("lib/c/b", "2") },
		func() {
			if err := os.Symlink("a", filepath.Join(dir, "lib", "link")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		change()
		if d := digest(); seen[d] {
			t.Errorf("change %d is not in the digest", i)
		} else {
			seen[d] = true
		}
	}
}

func TestConfigIsInTheProjectsNamespace(t *testing.T) {
	t.Parallel()
	got, err := configOf([]byte(` {"b":1.50,"aws:region":"x","a":{"n":[1]},"gone":null} `), "demo", []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	want := []configEntry{{"aws:region", "x", false}, {"demo:a", map[string]any{"n": []any{json.Number("1")}}, true}, {"demo:b", json.Number("1.50"), false}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(configEntry{})); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"[]", `"canary"`, "{"} {
		if _, err := configOf([]byte(bad), "demo", nil); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	var twice *telling.Problem
	if _, err := configOf([]byte(`{"a":"canary","b":1,"demo:a":"canary2"}`), "demo", nil); !errors.As(err, &twice) || twice.Failure.Class != engine.ClassAuthor ||
		twice.Failure.Reason.Detail != "config has a and demo:a, which are the same" || strings.Contains(twice.Failure.Text, "canary") {
		t.Errorf("one key in two forms: %+v", twice)
	}
	angled := func(text string) (string, error) { return "<" + text + ">", nil }
	n := encryption{encrypt: angled}
	sealed, err := n.of(map[string]any{"n": []any{json.Number("1"), "x", nil}}, "", true)
	if err != nil || string(facts.Canonical(sealed)) != `{"n":[{"secure":"<1>"},{"secure":"<x>"},null]}` {
		t.Errorf("encrypted = %s, %v", facts.Canonical(sealed), err)
	}
}

func TestStackInputIsForEveryRuntime(t *testing.T) {
	t.Parallel()
	angled := func(text string) (string, error) { return "<" + text + ">", nil }
	const in = `{"provider_config":{"key":"k"},"target":{"spec":{"a/b":"x","n":1,"s":["y"],"t":{"secure":"z"}}}}`
	structure := func(ab, n string) string {
		return `{"provider_config":{"key":{"secure":"<k>"}},"target":{"spec":{"a/b":` + ab + `,"n":` + n + `,"s":["y"],"t":{"secure":{"secure":"<z>"}}}}}`
	}
	long := `{"target":{"spec":{"text":"` + strings.Repeat("x", longestVariable) + `"}}}`
	for name, c := range map[string]struct {
		in, runtime string
		secret      []string
		want        string
	}{
		"yaml":                        {in, "yaml", nil, structure(`"x"`, `1`)},
		"go":                          {in, "go", nil, structure(`"x"`, `1`)},
		"go, a secret text":           {in, "go", []string{"/target/spec/a~1b"}, structure(`{"secure":"<x>"}`, `1`)},
		"yaml, a secret number":       {in, "yaml", []string{"/target/spec/n"}, structure(`"x"`, `{"secure":"<1>"}`)},
		"python, a secret number":     {in, "python", []string{"/target/spec/n"}, `{"secure":"<` + strings.ReplaceAll(in, `"`, `\"`) + `>"}`},
		"yaml, a secret part":         {`{"target":{"spec":{"s":["y"]}}}`, "yaml", []string{"/target/spec"}, `{"target":{"spec":{"s":[{"secure":"<y>"}]}}}`},
		"yaml, a secret that is gone": {`{"target":{}}`, "yaml", []string{"/target/spec/s"}, `{"target":{}}`},
		"yaml, too long for others":   {long, "yaml", nil, long},
		"nodejs, too long":            {long, "nodejs", nil, ""},
	} {
		v, ok, err := stackInputConfig([]byte(c.in), c.runtime, c.secret, angled)
		if err != nil || ok != (c.want != "") {
			t.Errorf("%s: ok %t, %v", name, ok, err)
			continue
		}
		if got := strings.TrimSpace(string(facts.Canonical(v))); ok && got != c.want {
			t.Errorf("%s:\n%.300s\nwant\n%.300s", name, got, c.want)
		}
	}
	if _, _, err := stackInputConfig([]byte(`{"canary`), "yaml", nil, angled); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("not JSON: %v", err)
	}
}
