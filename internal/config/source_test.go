package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileIsTheFirstOneThatIsThere(t *testing.T) {
	t.Parallel()
	home, xdg := t.TempDir(), t.TempDir()
	inHome := put(t, filepath.Join(home, ".config", "reeve", "reeve.yaml"), "jobs: {parallel: 11}\n")
	inXDG := put(t, filepath.Join(xdg, "reeve", "reeve.yaml"), "jobs: {parallel: 12}\n")
	named := put(t, filepath.Join(home, "named.yaml"), "jobs: {parallel: 13}\n")
	asked := put(t, filepath.Join(home, "asked.yaml"), "jobs: {parallel: 14}\n")
	environ := []string{"HOME=" + home}
	type found struct {
		File     string
		Parallel int
	}
	for name, c := range map[string]struct {
		o    Options
		want found
	}{
		"home":        {Options{Environ: environ}, found{inHome, 11}},
		"XDG":         {Options{Environ: append(environ, "XDG_CONFIG_HOME="+xdg)}, found{inXDG, 12}},
		"environment": {Options{Environ: append(environ, "REEVE_CONFIG="+named)}, found{named, 13}},
		"flag":        {Options{Path: asked, Environ: append(environ, "REEVE_CONFIG="+named)}, found{asked, 14}},
	} {
		got, list, err := Load(c.o)
		if err != nil || len(list) > 0 {
			t.Fatal(name, err, short(list))
		}
		if d := cmp.Diff(c.want, found{got.File, got.Jobs.Parallel}); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if d := cmp.Diff([]string{"reeve.yaml", "/x/reeve/reeve.yaml", "/etc/reeve/reeve.yaml"}, SearchPath([]string{"HOME=/h", "XDG_CONFIG_HOME=/x"})); d != "" {
		t.Errorf("search path (-want +got):\n%s", d)
	}
}

func TestFileThatWasAskedForMustBeThere(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none.yaml")
	for _, o := range []Options{{Path: none}, {Environ: []string{"REEVE_CONFIG=" + none}}} {
		if _, _, err := Load(o); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	big := put(t, filepath.Join(t.TempDir(), "big"), "# "+string(make([]byte, maxFileBytes)))
	if _, _, err := Load(Options{Path: big}); err == nil {
		t.Error("a file of more than 1 MiB was taken")
	}
}

func TestClientNeedsNeitherSecretsNorFiles(t *testing.T) {
	t.Parallel()
	text := "listen: 0.0.0.0:1\nsocket: ~/r.sock\ntokens: [{name: x, valueFrom: {env: NOT_HERE}}]\nrepositories: [{path: /not/here}]\nengine: {tofu: /not/here}\n"
	c, list, err := Load(Options{Path: "reeve.yaml", Bytes: []byte(text), Environ: []string{"HOME=/h"}, Purpose: ForClient})
	if err != nil || len(list) > 0 {
		t.Error(err, short(list))
	}
	if c.Socket != "/h/r.sock" {
		t.Errorf("socket is %s", c.Socket)
	}
}

func TestOneRepositoryByPlainVariables(t *testing.T) {
	t.Parallel()
	c, list := load(t, "repositories: [{url: https://example.com/old.git}]\n", "REEVE_REPOSITORY_URL=https://example.com/team/config.git",
		"REEVE_REPOSITORY_BRANCH=2026", "REEVE_REPOSITORY_POLL_INTERVAL=5s", "REEVE_REPOSITORY_CREDENTIALS_TOKEN_ENV=GIT_TOKEN", "GIT_TOKEN=x")
	want := []Repository{{Name: "config", URL: "https://example.com/team/config.git", Branch: "2026", Mode: Committed,
		PollInterval: Duration(5 * time.Second), Timeout: Duration(2 * time.Minute),
		Credentials: Credentials{Token: SecretSource{Env: "GIT_TOKEN"}, Username: "git"}}}
	if d := cmp.Diff(want, c.Repositories); d != "" || len(list) > 0 {
		t.Errorf("repositories (-want +got), %v:\n%s", short(list), d)
	}
	_, list = load(t, "", "REEVE_REPOSITORY_URL=https://example.com/a", "REEVE_REPOSITORIES=[]")
	if !list.HasErrors() {
		t.Error("both ways at once were taken")
	}
	_, list = load(t, "", "REEVE_REPOSITORY_BRANCH=main")
	if d := cmp.Diff([]string{"$REEVE_REPOSITORY_BRANCH: error: [missing-field] | url | url or path"}, short(list)); d != "" {
		t.Errorf("a branch alone (-want +got):\n%s", d)
	}
}

func TestMapsAndListsInVariables(t *testing.T) {
	t.Parallel()
	c, list := load(t, "", `REEVE_JOBS_ENVIRONMENT={"AWS_REGION": {"value": "eu-west-1"}}`, "REEVE_JOBS_PASS_ENVIRONMENT=[A, 'B,C']",
		"REEVE_BRAKE_SHARE=50%", "REEVE_JOBS_LIMITS_MEMORY=2 GiB", "REEVE_ENGINE_PLUGIN_CACHE=false")
	if len(list) > 0 {
		// "B,C" is no name of a variable, but a glob may hold a comma.
		t.Error(short(list))
	}
	if d := cmp.Diff(map[string]Variable{"AWS_REGION": {Value: "eu-west-1"}}, c.Jobs.Environment); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"A", "B,C"}, c.Jobs.PassEnvironment); d != "" {
		t.Error(d)
	}
	if c.Brake.Share != 0.5 || c.Jobs.Limits.Memory != 2<<30 || c.Engine.PluginCache {
		t.Errorf("%+v", c)
	}
}

func TestScalarsWriteWhatTheyRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"0s", "90s", "1h", "1h30m", "5m", "1m30s", "168h", "1h0m5s", "250ms"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Error(text, err)
		}
		var again Duration
		if b, _ := d.MarshalText(); again.UnmarshalText(b) != nil || again != d {
			t.Errorf("%s became %s", text, b)
		}
	}
	for text, want := range map[string]int64{"0": 0, "17": 17, "1KiB": 1024, "2 MiB": 2 << 20, "3kb": 3000, "1TiB": 1 << 40, "5B": 5} {
		var s, again Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s.Bytes() != want {
			t.Error(text, s, err)
		}
		if b, _ := s.MarshalText(); again.UnmarshalText(b) != nil || again != s {
			t.Errorf("%s became %s", text, b)
		}
	}
	for _, text := range []string{"", "-1", "1.5GiB", "9999999999TiB", "4 apples", "MiB"} {
		var s Size
		if s.UnmarshalText([]byte(text)) == nil {
			t.Errorf("size %q was taken", text)
		}
	}
}
