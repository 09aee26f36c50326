package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const canary = "canary-7f3a9c51-never-shown"

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	s := NewSecret(canary)
	holder := struct {
		S Secret
		P *Secret
		M map[string]Secret
	}{s, &s, map[string]Secret{"k": s}}
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s"} {
		fmt.Fprintf(&b, verb, s)
		fmt.Fprintf(&b, verb, &s)
		fmt.Fprintf(&b, verb, holder)
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, func(v any) ([]byte, error) { return yaml.Marshal(v) }} {
		out, err := marshal(holder)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(out)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "s", s, "holder", holder)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "s", s, "holder", holder)
	fmt.Fprint(&b, fmt.Errorf("wrapped: %v %w", s, fmt.Errorf("%s", s)))
	hex := fmt.Sprintf("%x", canary)
	if out := b.String(); strings.Contains(out, canary) || strings.Contains(out, hex) || strings.Contains(out, strings.ToUpper(hex)) {
		t.Errorf("the secret is in: %s", out)
	}
	if s.Reveal() != canary || s.IsZero() || !(Secret{}).IsZero() {
		t.Error("Reveal does not give the secret back")
	}
}

func TestNoFindingQuotesASecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte(canary[:8]), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"password in a URL":            "repositories:\n- url: https://ada:" + canary + "@example.com/a.git\n",
		"password in a bad URL":        "repositories:\n- {url: 'https://ada:" + canary + "@exa mple.com/%zz', poll: x}\n",
		"password in an ssh URL":       "repositories:\n- {url: 'ssh://git:" + canary + "@example.com/a', mode: tree}\n",
		"password in an unknown URL":   "repositories:\n- url: 'ftp://ada:" + canary + "@example.com/a'\n",
		"token instead of a source":    "repositories:\n- url: https://example.com/a\n  credentials:\n    token: " + canary + "\n",
		"token as a number of fields":  "tokens:\n- name: x\n  valueFrom: " + canary + "\n  token: " + canary + "\n",
		"unknown password field":       "repositories:\n- url: https://example.com/a\n  credentials: {password: " + canary + "}\n",
		"unknown flow field":           "tokens: [{name: x, secretValue: " + canary + "}]\n",
		"value of a variable":          "jobs: {environment: {A: {value: [" + canary + "]}}}\n",
		"broken YAML beside a secret":  "tokens:\n- token: \"" + canary + "\n  : [\n",
		"short token in a file":        "tokens: [{name: x, valueFrom: {file: " + file + "}}]\n",
		"token instead of a name list": "tokens: " + canary + "\n",
	} {
		_, list, err := Load(Options{Path: "reeve.yaml", Bytes: []byte(text), Environ: []string{"XDG_DATA_HOME=/data",
			"REEVE_TOKENS=[{name: x, valueFrom: {env: A}, token: " + canary + "}", "REEVE_JOBS_ENVIRONMENT={A: " + canary + "}"}})
		if err != nil {
			t.Fatal(err)
		}
		if !list.HasErrors() {
			t.Errorf("%s: nothing was found", name)
		}
		b, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), canary) || strings.Contains(string(b), canary[:8]) {
			t.Errorf("%s: the secret is in %s", name, b)
		}
	}
}

func TestSecretsAreReadWhereTheyAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	environ := []string{"A=old", "A=" + canary, "EMPTY="}
	for _, c := range []struct {
		source SecretSource
		want   string
		err    string
	}{
		{SecretSource{Env: "A"}, canary, ""},
		{SecretSource{Env: "EMPTY"}, "", "environment variable EMPTY is not set"},
		{SecretSource{Env: "B"}, "", "environment variable B is not set"},
		{SecretSource{File: file("s", " "+canary+"\r\n\n")}, " " + canary, ""},
		{SecretSource{File: file("empty", "\n")}, "", "the file is empty"},
		{SecretSource{File: dir}, "", "not a file with a secret"},
		{SecretSource{File: filepath.Join(dir, "none")}, "", "no such file"},
		{SecretSource{}, "", "neither"},
	} {
		got, err := c.source.Read(environ)
		if got.Reveal() != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v", c.source, got.Reveal(), err)
		}
	}
}
