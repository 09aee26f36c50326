package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema/diag"
)

var update = flag.Bool("update", false, "write the golden files anew")

// short is a finding in one line, as the tables below compare it.
func short(l diag.List) []string {
	var out []string
	for _, d := range l {
		s := d.Pos.String() + ": " + d.Severity.String() + ": [" + string(d.Code) + "]"
		for _, part := range []string{d.Detail, d.Found, d.Expected, d.Hint} {
			if part != "" {
				s += " | " + part
			}
		}
		out = append(out, s)
	}
	return out
}

func load(t *testing.T, text string, environ ...string) (Config, diag.List) {
	t.Helper()
	c, list, err := Load(Options{Path: "reeve.yaml", Bytes: []byte(text), Environ: append([]string{"HOME=/home/ada", "XDG_DATA_HOME=/data"}, environ...)})
	if err != nil {
		t.Fatal(err)
	}
	return c, list
}

func TestNothingSaidGivesTheBuiltInValues(t *testing.T) {
	t.Parallel()
	got, list := load(t, "")
	if len(list) != 0 {
		t.Fatalf("findings: %v", short(list))
	}
	want := builtIn([]string{"XDG_DATA_HOME=/data"})
	want.Socket, want.File, want.Digest = "/data/reeve/reeve.sock", "reeve.yaml", digest(nil)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("configuration (-want +got):\n%s", d)
	}
	if want.DataDir != "/data/reeve" || want.Jobs.Parallel < 2 || want.Brake.Share != 0.3 {
		t.Errorf("built-in values: %+v", want)
	}
}

// Runners and engines work in folders of their own.
func TestPathsThatTheyUseAreSaidFromTheRoot(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	got, _ := load(t, "dataDir: data\nengine: {tofu: bin/tofu, pulumi: ../pulumi, cliConfig: tofurc}\n")
	want := []string{filepath.Join(here, "data"), filepath.Join(here, "data/reeve.sock"), filepath.Join(here, "bin/tofu"), filepath.Join(filepath.Dir(here), "pulumi"), filepath.Join(here, "tofurc"), ""}
	have := []string{got.DataDir, got.Socket, got.Engine.Tofu, got.Engine.Pulumi, got.Engine.CLIConfig, got.Engine.Terraform}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("paths (-want +got):\n%s", d)
	}
}

func TestFileIsOutrankedByEnvironmentAndThatByFlags(t *testing.T) {
	t.Parallel()
	text := "listen: 127.0.0.1:1\nlog: {level: debug}\njobs: {parallel: 3, grace: 5s}\n"
	got, list, err := Load(Options{Path: "reeve.yaml", Bytes: []byte(text),
		Environ:   []string{"XDG_DATA_HOME=/data", "REEVE_LISTEN=127.0.0.1:2", "REEVE_JOBS_PARALLEL=4", "REEVE_LOG_FORMAT=", "REEVE_ALLOWED_HOSTS=a.example, b.example"},
		Overrides: []Override{{Flag: "--listen", Field: "listen", Value: "127.0.0.1:3"}}})
	if err != nil || len(list) != 0 {
		t.Fatal(err, short(list))
	}
	want := builtIn([]string{"XDG_DATA_HOME=/data"})
	want.File, want.Socket, want.Digest = "reeve.yaml", "/data/reeve/reeve.sock", digest([]byte(text))
	want.Listen, want.Log.Level = "127.0.0.1:3", LevelDebug
	want.Jobs.Parallel, want.Jobs.Grace = 4, Duration(5*time.Second)
	want.AllowedHosts = []string{"a.example", "b.example"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("configuration (-want +got):\n%s", d)
	}
}

func TestFindingsNameThePlaceAndTheWayOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	short16 := filepath.Join(dir, "short")
	if err := os.WriteFile(short16, []byte("tiny\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text    string
		environ []string
		want    []string
	}{
		"unknown field": {text: "listn: x\n", want: []string{`reeve.yaml:1:1: error: [unknown-field] | "listn" | one of: dataDir, listen, socket, socketGroup, allowedHosts, tokens, repositories, engine, jobs, brake, log | did you mean "listen"?`}},
		"nested unknown field after wide text": {text: "jobs: {grace: 1s, tiemouts: {}}\n",
			want: []string{`reeve.yaml:1:19: error: [unknown-field] | "tiemouts" | one of: parallel, timeouts, grace, approvalExpiry, passEnvironment, environment, limits, retention | did you mean "timeouts"?`}},
		"wrong types": {text: "listen: 7468\nallowedHosts: a.example\njobs:\n  parallel: many\n  grace: 10\n  timeouts: 5m\nengine: {pluginCache: \"yes\"}\nbrake: {share: 30}\n",
			want: []string{
				`reeve.yaml:1:9: error: [wrong-type] | listen | a number | text | put it in quotes`,
				`reeve.yaml:2:15: error: [wrong-type] | allowedHosts | text | a list | put a dash and a space before it`,
				`reeve.yaml:4:13: error: [wrong-type] | jobs.parallel | text | a whole number, 0 or more`,
				`reeve.yaml:5:10: error: [invalid-value] | jobs.grace | "10" | a duration such as "90s", "5m" or "1h30m"`,
				`reeve.yaml:6:13: error: [wrong-type] | jobs.timeouts | text | a mapping`,
				`reeve.yaml:7:23: error: [wrong-type] | engine.pluginCache | text | true or false`,
				`reeve.yaml:8:16: error: [invalid-value] | brake.share | "30" | a share such as "30%" or 0.3, at most "100%"`,
			}},
		"OpenTofu's name":   {text: "engine: {default: opentofu}\n", want: []string{`reeve.yaml:1:19: error: [invalid-value] | engine.default | "opentofu" | one of: terraform, tofu | did you mean "tofu"?`}},
		"closed sets":       {text: "log: {level: warning, format: json}\n", want: []string{`reeve.yaml:1:14: error: [invalid-value] | log.level | "warning" | one of: debug, info, warn, error | did you mean "warn"?`}},
		"duplicate key":     {text: "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n", want: []string{`reeve.yaml:2:1: error: [duplicate-key] | "listen"`}},
		"two documents":     {text: "log: {}\n---\nlog: {}\n", want: []string{`reeve.yaml:2:1: error: [yaml-syntax] | a configuration is one document; this starts a second one`}},
		"open to the world": {text: "listen: 0.0.0.0:7468\n", want: []string{`reeve.yaml:1:9: error: [missing-field] | tokens | at least one token, because "0.0.0.0:7468" can be reached from other machines | add a token, or listen on 127.0.0.1`}},
		"no port":           {text: "listen: localhost\n", want: []string{`reeve.yaml:1:9: error: [invalid-value] | listen: "localhost" | host:port, such as "127.0.0.1:7468" or "[::1]:7468"`}},
		"tokens": {text: "tokens:\n- name: ci\n  valueFrom: {env: MISSING}\n- name: ci\n  valueFrom: {env: SHORT}\n- valueFrom: {env: A, file: B}\n- name: x\n",
			environ: []string{"SHORT=tiny"},
			want: []string{
				`reeve.yaml:3:20: error: [invalid-value] | tokens[0].valueFrom.env: the environment variable MISSING is not set | a variable that is set where the daemon starts`,
				`reeve.yaml:4:9: error: [invalid-value] | tokens[1].name: the name "ci" is used twice`,
				"reeve.yaml:5:14: error: [invalid-value] | tokens[1].valueFrom: the token is too short | at least 16 characters; `openssl rand -hex 32` makes a good one",
				`reeve.yaml:6:3: error: [missing-field] | name | the name that the token's acts are recorded under`,
				`reeve.yaml:6:14: error: [invalid-value] | tokens[2].valueFrom: both env and file are set | one of them`,
				`reeve.yaml:7:3: error: [missing-field] | valueFrom | valueFrom: {env: NAME} or valueFrom: {file: PATH}`,
			}},
		"repositories": {text: "repositories:\n- {url: https://example.com/a.git, path: /}\n- {}\n- {path: /nowhere/at/all}\n- {url: 'ftp://example.com/b'}\n- {url: 'git@example.com:x/a.git', mode: worktree}\n- {url: 'https://example.com/c', pollInterval: 1ms}\n",
			want: []string{
				`reeve.yaml:2:3: error: [invalid-value] | repositories[0]: both url and path are set | one of them`,
				`reeve.yaml:3:3: error: [missing-field] | url | url or path`,
				`reeve.yaml:4:10: error: [invalid-value] | repositories[2].path: there is no folder /nowhere/at/all | a folder that exists`,
				`reeve.yaml:5:9: error: [invalid-value] | repositories[3].url: the scheme "ftp" | an https, http, ssh, git or file URL, or user@host:path`,
				`reeve.yaml:6:3: error: [invalid-value] | repositories[4].name: the name "a" is used twice`,
				`reeve.yaml:6:42: error: [invalid-value] | repositories[4].mode: only a path has a work tree | committed`,
				`reeve.yaml:7:48: error: [invalid-value] | repositories[5].pollInterval: 1ms | 1s or more`,
			}},
		"variables and flags say which": {text: "", environ: []string{"REEVE_JOBS_GRACE=soon", "REEVE_REPOSITORIES=[{", "REEVE_TOKENS=[{nam: x}]", "REEVE_LISEN=x", "REEVE_TYPO=x", "REEVE_JOB_PARALLEL=2", "REEVE_REPOSITORY_FOO=x",
			"REEVE_DATADIR=/d", "REEVE_SERVICE_HOST=10.0.0.1", "REEVE_PORT=tcp://10.0.0.1:80", "REEVE_PORT_80_TCP_ADDR=10.0.0.1", "REEVE_WEB_SERVICE_PORT_HTTP=80"},
			want: []string{
				`$REEVE_DATADIR: warning: [unknown-field] | no such variable is read | did you mean "REEVE_DATA_DIR"?`,
				`$REEVE_JOBS_GRACE: error: [invalid-value] | jobs.grace | "soon" | a duration such as "90s", "5m" or "1h30m"`,
				`$REEVE_JOB_PARALLEL: warning: [unknown-field] | no such variable is read | did you mean "REEVE_JOBS_PARALLEL"?`,
				`$REEVE_LISEN: warning: [unknown-field] | no such variable is read | did you mean "REEVE_LISTEN"?`,
				`$REEVE_REPOSITORIES: error: [yaml-syntax] | the value is not valid YAML or JSON`,
				`$REEVE_REPOSITORY_FOO: warning: [unknown-field] | no such variable is read`,
				`$REEVE_TOKENS: error: [missing-field] | name | the name that the token's acts are recorded under`,
				`$REEVE_TOKENS: error: [missing-field] | valueFrom | valueFrom: {env: NAME} or valueFrom: {file: PATH}`,
				`$REEVE_TOKENS: error: [unknown-field] | "nam" | one of: name, valueFrom, role | did you mean "name"?`,
				`$REEVE_TYPO: warning: [unknown-field] | no such variable is read`,
			}},
		"jobs": {text: "jobs:\n  parallel: 0\n  passEnvironment: ['AWS_*', 'A=B', '[']\n  environment:\n    1A: {value: x}\n    B: {value: x, env: Y}\n    C: {env: NOPE}\n",
			want: []string{
				`reeve.yaml:2:13: error: [invalid-value] | jobs.parallel: 0 | 1 or more`,
				`reeve.yaml:3:30: error: [invalid-value] | jobs.passEnvironment[1]: "A=B" | the name of a variable, or a glob such as AWS_*`,
				`reeve.yaml:3:37: error: [invalid-value] | jobs.passEnvironment[2]: "[" | the name of a variable, or a glob such as AWS_*`,
				`reeve.yaml:5:9: error: [invalid-value] | jobs.environment.1A: the name of the variable | letters, digits and underscores`,
				`reeve.yaml:6:8: error: [invalid-value] | jobs.environment.B: more than one of value, env and file is set | one of them`,
				`reeve.yaml:7:14: error: [invalid-value] | jobs.environment.C.env: the environment variable NOPE is not set | a variable that is set where the daemon starts`,
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, list := load(t, c.text, c.environ...)
			if d := cmp.Diff(c.want, short(list)); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
			for _, f := range list {
				if f.Pos.Line > 0 && f.Line != "" && f.Line != strings.Split(c.text, "\n")[f.Pos.Line-1] {
					t.Errorf("%s shows the line %q", f.Pos, f.Line)
				}
			}
		})
	}
}
