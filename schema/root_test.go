package schema_test

import (
	"context"
	"testing"
	"testing/fstest"

	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// TestAFolderWithoutAnOrganizationIsNamed loads what git could never hold: an empty folder,
// and one with files that mean nothing.
func TestAFolderWithoutAnOrganizationIsNamed(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]fstest.MapFS{
		"empty":      {},
		"a readme":   {"README.md": {Data: []byte("# Acme\n")}},
		"no folders": {"platform.yaml": {Data: []byte("")}},
	} {
		tree, err := schema.LoadFS(context.Background(), files)
		if err != nil {
			t.Fatal(err)
		}
		found := tree.Diagnostics()
		if len(found) != 1 || found[0].Code != diag.MissingOrganization || found[0].Severity != diag.Warning {
			t.Errorf("%s:\n%s", name, diag.Text(found, diag.TextOptions{}))
		}
	}
}
