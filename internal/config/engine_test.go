package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEnginesAreReadAndChecked(t *testing.T) {
	t.Parallel()
	c, list := load(t, "engine:\n  folders: [~/engines, /opt/engines]\n  mirrors: {terraform: https://m.example/hc, pulumi: http://127.0.0.1:80/p}\n")
	if len(list) != 0 {
		t.Fatalf("findings: %v", short(list))
	}
	want := Engine{PluginCache: true, Folders: []string{"/home/ada/engines", "/opt/engines"},
		Mirrors: Mirrors{Terraform: "https://m.example/hc", Pulumi: "http://127.0.0.1:80/p"}}
	if d := cmp.Diff(want, c.Engine); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}

	_, list = load(t, "engine:\n  folders: [bin]\n  mirrors:\n    terraform: ftp://m.example\n    tofu: https://ada:canary@m.example/x\n    pulumi: https://m.example/x?y=1\n  pulumi: /nowhere/pulumi\n")
	got := short(list)
	wantList := []string{
		`reeve.yaml:2:13: error: [invalid-value] | engine.folders[0]: "bin" | an absolute path: what runs must not depend on where the daemon was started`,
		`reeve.yaml:4:16: error: [invalid-value] | engine.mirrors.terraform: the scheme "ftp" | an address such as https://mirror.example.com/engines`,
		`reeve.yaml:5:11: error: [invalid-value] | engine.mirrors.tofu: the URL holds a user name or password | a URL without credentials`,
		`reeve.yaml:6:13: error: [invalid-value] | engine.mirrors.pulumi: it has a query or a fragment | an address such as https://mirror.example.com/engines`,
	}
	if len(got) != 5 {
		t.Fatalf("%d findings: %v", len(got), got)
	}
	if d := cmp.Diff(wantList, got[:4]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
