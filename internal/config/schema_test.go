package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// reflected generates the schema from the types and their comments.
func reflected(t *testing.T) *jsonschema.Schema {
	t.Helper()
	r := &jsonschema.Reflector{Anonymous: true, ExpandedStruct: true, DoNotReference: true, RequiredFromJSONSchemaTags: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			v := reflect.New(t).Elem()
			if w, ok := v.Interface().(word); ok {
				s := &jsonschema.Schema{Type: "string"}
				for _, x := range w.words() {
					s.Enum = append(s.Enum, x)
				}
				return s
			}
			switch v.Interface().(type) {
			case int, uint64:
				return &jsonschema.Schema{Type: "integer", Minimum: "0"}
			case Duration:
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "integer", Enum: []any{0}},
					{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`}}}
			case Size:
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "integer", Minimum: "0"},
					{Type: "string", Pattern: `^[0-9]+ ?([kKMGT]i?[bB]|[bB])?$`}}}
			case Share:
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "number", Minimum: "0", Maximum: "1"},
					{Type: "string", Pattern: `^[0-9]+(\.[0-9]+)?%?$`}}}
			}
			return nil
		}}
	if err := r.AddGoComments("github.com/stackreeve/stackreeve/internal/config", "./"); err != nil {
		t.Fatal(err)
	}
	// The reflector names packages by path below the module; the comments are found under both.
	for k, v := range r.CommentMap {
		r.CommentMap[strings.ReplaceAll(k, "internal/config/.", "internal/config.")] = strings.Join(strings.Fields(v), " ")
	}
	s := r.Reflect(&Config{})
	s.Version, s.Title = jsonschema.Version, "reeve.yaml"
	annotate(s, reflect.TypeFor[Config]())
	return s
}

// annotate adds what struct tags say and the reflector does not read.
func annotate(s *jsonschema.Schema, t reflect.Type) {
	switch t.Kind() {
	case reflect.Slice:
		annotate(s.Items, t.Elem())
		return
	case reflect.Map:
		annotate(s.AdditionalProperties, t.Elem())
		return
	case reflect.Struct:
	default:
		return
	}
	s.Required = nil
	for f := range t.Fields() {
		p, ok := s.Properties.Get(jsonName(f))
		if !ok {
			continue
		}
		if f.Tag.Get("required") == "true" {
			s.Required = append(s.Required, jsonName(f))
		}
		if d := f.Tag.Get("default"); d != "" {
			p.Description += " Default: " + d + "."
		}
		annotate(p, f.Type)
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s is not up to date; run the tests with -update (-is +should be):\n%s", file, d)
	}
}

func TestJSONSchemaIsGeneratedFromTheTypes(t *testing.T) {
	t.Parallel()
	b, err := json.MarshalIndent(reflected(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "reeve.schema.json", append(b, '\n'))
}

// example is a file in which every field is written.
const example = `dataDir: /var/lib/reeve
listen: 127.0.0.1:7468
socket: /run/reeve/reeve.sock
socketGroup: reeve
allowedHosts: [reeve.example.com]
tokens:
  - {name: ci, valueFrom: {env: CI_TOKEN}, role: write}
  - {name: dashboard, valueFrom: {file: /run/secrets/dashboard}}
repositories:
  - name: config
    url: https://git.example.com/platform/config.git
    branch: main
    pollInterval: 30s
    timeout: 1m
    credentials:
      token: {file: /run/secrets/git}
      username: reeve
      caFile: /etc/ssl/company.pem
    forge:
      kind: gitea
      url: https://git.example.com
      repository: platform/config
      token: {file: /run/secrets/forge}
      webhookSecret: {file: /var/lib/reeve/webhook-config}
      previousWebhookSecret: {file: /var/lib/reeve/webhook-config.previous}
      pollInterval: 2m
  - name: other
    url: git@git.example.com:platform/other.git
    credentials:
      sshKey: {file: /etc/reeve/id_ed25519, passphrase: {env: KEY_PASSPHRASE}}
      knownHosts: /etc/reeve/known_hosts
    forge:
      kind: github
      app: {id: "123456", privateKey: {file: /etc/reeve/app.pem}}
      webhookSecret: {env: WEBHOOK_SECRET}
  - {name: local, path: /srv/config, mode: worktree}
engine:
  default: tofu
  terraform: /usr/local/bin/terraform
  tofu: /usr/local/bin/tofu
  pulumi: /usr/local/bin/pulumi
  folders: [/opt/engines]
  mirrors: {terraform: "https://mirror.example.com/hc", tofu: "https://mirror.example.com/tofu", pulumi: "https://mirror.example.com/pulumi"}
  pluginCache: false
  cliConfig: /etc/reeve/terraformrc
jobs:
  parallel: 4
  timeouts: {init: 5m, plan: 20m, apply: 1h30m}
  grace: 90s
  approvalExpiry: 72h
  passEnvironment: [HTTPS_PROXY, 'AWS_*']
  environment:
    AWS_REGION: {value: eu-west-1}
    AWS_SECRET_ACCESS_KEY: {file: /run/secrets/aws}
    TF_VAR_x: {env: X}
  limits: {log: 10MiB, openFiles: 4096, processes: 500, memory: 2GiB, fileSize: 1000}
  retention: {age: 720h, keep: 5}
brake: {count: 5, share: 25%}
log: {level: debug, format: json}
`

func TestSchemaAndLoaderAgree(t *testing.T) {
	t.Parallel()
	doc, err := validator.UnmarshalJSON(bytes.NewReader(JSONSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("reeve.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("reeve.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text string) error {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		inst, err := validator.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(inst)
	}
	places := map[string]place{}
	d := newDecoder("reeve.yaml", []byte(example), places)
	var cfg Config
	d.value(d.parse([]byte(example)), reflect.ValueOf(&cfg).Elem(), "")
	if err := valid(example); err != nil || len(d.list) > 0 {
		t.Errorf("the example: schema says %v, loader %v", err, short(d.list))
	}
	for path := range Variables() {
		if _, ok := places[path]; !ok {
			t.Errorf("the example lacks %s", path)
		}
	}
	for _, bad := range []string{"listn: x", "jobs: {parallel: -1}", "log: {level: loud}", "jobs: {grace: soon}", "brake: {share: 130}",
		"tokens: [{name: x}]", "allowedHosts: x", "engine: {pluginCache: maybe}", "listen: 7468", "jobs: {limits: {log: much}}"} {
		_, list, err := Load(Options{Path: "reeve.yaml", Bytes: []byte(bad), Environ: []string{"XDG_DATA_HOME=/data"}})
		if err != nil {
			t.Fatal(err)
		}
		if valid(bad) == nil || !list.HasErrors() {
			t.Errorf("%s: schema says %v, loader %v", bad, valid(bad), short(list))
		}
	}
}

func TestDocumentationIsGeneratedFromTheSchema(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(intro)
	b.WriteString("\n## Example\n\nEvery field, as it could be written:\n\n```yaml\n" + example + "```\n\n## Fields\n\n")
	b.WriteString("| field | variable | meaning |\n|---|---|---|\n")
	rows(&b, reflected(t), reflect.TypeFor[Config](), "")
	golden(t, filepath.Join("..", "..", "docs", "configuration.md"), []byte(b.String()))
}

const intro = `# Configuration

<!-- Generated from internal/config by its tests (-update). -->

A daemon needs no configuration but a repository. What it is told stands in reeve.yaml, in environment variables and in
flags; a flag outranks a variable, a variable the file. The file is the first of: ` + "`--config`, `$REEVE_CONFIG`, `./reeve.yaml`," + `
` + "`$XDG_CONFIG_HOME/reeve/reeve.yaml` (or `~/.config/reeve/reeve.yaml`), `/etc/reeve/reeve.yaml`" + `.

The file is read strictly: an unknown field, a wrong type or a value that makes no sense is an error with its place, and
nothing is started. A running daemon reads the file again when it changes, or the file of a token or of a
job's variable that it names. A bad one is refused with the reason and the old one stays; fields that need a restart are named in the log
and wait for it.

Secrets never stand in the file: it names an environment variable (` + "`env`" + `) or a file (` + "`file`" + `). An editor completes
the file with the JSON Schema that ` + "`reeve schema config`" + ` prints.

Lists and maps are written in variables as JSON or YAML, lists of words also as ` + "`a,b,c`" + `. One repository can be described by
plain variables: ` + "`REEVE_REPOSITORY_URL`, `REEVE_REPOSITORY_PATH`, `REEVE_REPOSITORY_BRANCH`" + ` and so on, one for each field below
` + "`repositories[]`" + `; it takes the place of all others.
`

// rows writes a line for each field that is not a mapping.
func rows(b *strings.Builder, s *jsonschema.Schema, t reflect.Type, path string) {
	vars := Variables()
	for f := range t.Fields() {
		name := jsonName(f)
		p, ok := s.Properties.Get(name)
		if !ok {
			continue
		}
		at := join(path, name)
		switch f.Type.Kind() {
		case reflect.Struct:
			fmt.Fprintf(b, "| **`%s`** | | %s |\n", at, cell(p))
			rows(b, p, f.Type, at)
			continue
		case reflect.Slice:
			if f.Type.Elem().Kind() == reflect.Struct {
				fmt.Fprintf(b, "| **`%s[]`** | %s | %s |\n", at, code(vars[at]), cell(p))
				rows(b, p.Items, f.Type.Elem(), at+"[]")
				continue
			}
		case reflect.Map:
			fmt.Fprintf(b, "| **`%s.NAME`** | %s | %s |\n", at, code(vars[at]), cell(p))
			rows(b, p.AdditionalProperties, f.Type.Elem(), at+".NAME")
			continue
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", at, code(vars[at]), cell(p))
	}
}

func cell(s *jsonschema.Schema) string {
	out := s.Description
	if len(s.Enum) > 0 && !strings.Contains(out, fmt.Sprintf("%q", s.Enum[0])) {
		out += fmt.Sprintf(" One of: %v.", s.Enum)
	}
	return strings.NewReplacer("|", "\\|", "<", "&lt;", ">", "&gt;").Replace(out)
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func TestEveryFieldHasAVariableAndAMeaning(t *testing.T) {
	t.Parallel()
	vars := Variables()
	if vars["jobs.timeouts.plan"] != "REEVE_JOBS_TIMEOUTS_PLAN" || vars["engine.cliConfig"] != "REEVE_ENGINE_CLI_CONFIG" || vars["dataDir"] != "REEVE_DATA_DIR" {
		t.Errorf("variables: %v", vars)
	}
	var walk func(s *jsonschema.Schema, path string)
	walk = func(s *jsonschema.Schema, path string) {
		if s == nil || s.Properties == nil {
			return
		}
		for p := s.Properties.Oldest(); p != nil; p = p.Next() {
			at := join(path, p.Key)
			if len(p.Value.Description) < 10 || !slices.Contains([]byte(".:"), strings.TrimSpace(p.Value.Description)[len(strings.TrimSpace(p.Value.Description))-1]) {
				t.Errorf("%s is described as %q", at, p.Value.Description)
			}
			walk(p.Value, at)
			walk(p.Value.Items, at+"[]")
			walk(p.Value.AdditionalProperties, at+".NAME")
		}
	}
	walk(reflected(t), "")
}
