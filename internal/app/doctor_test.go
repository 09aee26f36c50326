package app

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/program/programtest"
)

func TestTheDoctorTellsHowTheDaemonsRepositoriesAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		repository api.RepositoryStatus
		health     Health
		detail     string
	}{
		{api.RepositoryStatus{Branch: "main", Commit: "0123456789abcdef"}, Well, "main 0123456"},
		{api.RepositoryStatus{Branch: "main", Commit: "0123456789abcdef", Errors: 2}, Unwell, "main 0123456: 2 errors"},
		{api.RepositoryStatus{}, Unwell, "the daemon has not read it yet"},
		{api.RepositoryStatus{Branch: "main", Commit: "0123456789abcdef", FetchError: "no such branch"}, Missing, "no such branch"},
	} {
		c.repository.Name = "infra"
		got := checkFollowed(c.repository)
		if got.Name != "repository infra" || got.Health != c.health || got.Detail != c.detail {
			t.Errorf("%+v: %+v", c.repository, got)
		}
	}
}

func TestTheDoctorTellsOfEnginesThatTheConfigurationNamesAndThatAreNotThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	programtest.Write(t, at("bin/terraform"), "1.11.4")
	programtest.Write(t, at("old/terraform"), "1.0.11")
	c := config.Engine{Default: "tofu", Pulumi: at("bin/terraform"), Folders: []string{at("bin"), at("missing"), at("bin/terraform"), at("old")}}
	want := []Check{
		{Name: "engine terraform", Health: Well, Detail: "1.11.4 (" + at("bin/terraform") + ")"},
		{Name: "engine terraform", Health: Unwell, Detail: at("old/terraform") + ": its version 1.0.11 is too old: 1.1.0 or newer is needed",
			Fix: "mend or remove it: no stack gets it"},
		{Name: "engine pulumi", Health: Unwell, Detail: at("bin/terraform") + ": it answers as Terraform 1.11.4, and not as Pulumi",
			Fix: "correct engine.pulumi in reeve.yaml: until then no stack gets this engine"},
		{Name: "engine tofu", Health: Missing, Detail: "engine.default names it, and it is not installed",
			Fix: "`reeve engine install tofu` gets it, or correct engine.default in reeve.yaml"},
		{Name: "engine folder", Health: Unwell, Detail: at("missing") + " is no folder that can be read", Fix: "correct engine.folders in reeve.yaml"},
		{Name: "engine folder", Health: Unwell, Detail: at("bin/terraform") + " is no folder that can be read", Fix: "correct engine.folders in reeve.yaml"},
	}
	if diff := cmp.Diff(want, checkEngines(t.Context(), newEngines(c, at("data"), nil))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
