package schema_test

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

// following is a source that says what changed since any other tree.
type following struct {
	schema.Source
	fs.ReadLinkFS
	changes []schema.PathChange
}

func (f following) Open(name string) (fs.File, error)           { return f.Source.Open(name) }
func (f following) Changes(string) ([]schema.PathChange, error) { return f.changes, nil }

func TestFileThatBecomesASymlinkFreezesItsFolder(t *testing.T) {
	t.Parallel()
	stack := &fstest.MapFile{Data: []byte(schematest.Stack("s", "/m"))}
	link := &fstest.MapFile{Data: []byte("../prod/s.yaml"), Mode: fs.ModeSymlink | 0o777}
	base := fstest.MapFS{"m/main.tf": {}, "acme/dev/s.yaml": stack, "acme/prod/s.yaml": stack}
	source := func(files fstest.MapFS, changes ...schema.PathChange) schema.Source {
		src, err := schema.FromFS(files)
		if err != nil {
			t.Fatal(err)
		}
		return following{src, src.(fs.ReadLinkFS), changes}
	}
	l := schema.NewLoader(schema.Options{})
	before := mustLoad(t, l, source(base))
	if len(before.Resources()) != 2 || len(before.Diagnostics()) != 0 {
		t.Fatalf("%d resources, %v", len(before.Resources()), codes(before.Diagnostics()))
	}
	after := mustLoad(t, l, source(fstest.MapFS{"m/main.tf": {}, "acme/dev/s.yaml": link, "acme/prod/s.yaml": stack},
		schema.PathChange{Path: "acme/dev/s.yaml", OldHash: "a", NewHash: "b"}))
	if diff := cmp.Diff([]string{"symlink at acme/dev/s.yaml"}, codes(after.Diagnostics())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, frozen := after.Frozen("acme", "dev"); !frozen || len(after.Resources()) != 1 {
		t.Errorf("%d resources, frozen %t", len(after.Resources()), frozen)
	}
	// The whole folder as a link, next to a link that means nothing.
	folder := mustLoad(t, l, source(fstest.MapFS{"m/main.tf": {}, "acme/dev": {Data: []byte("prod"), Mode: fs.ModeSymlink | 0o777},
		"acme/README.md": {Data: []byte("../README.md"), Mode: fs.ModeSymlink | 0o777}, "acme/prod/s.yaml": stack},
		schema.PathChange{Path: "acme/README.md", NewHash: "c"}, schema.PathChange{Path: "acme/dev", NewHash: "c"}, schema.PathChange{Path: "acme/dev/s.yaml", OldHash: "b"}))
	if diff := cmp.Diff([]string{"symlink at acme/dev"}, codes(folder.Diagnostics())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d, frozen := folder.Frozen("acme", "dev"); !frozen {
		t.Errorf("an environment that is a link is not frozen: %v", d)
	}
	if d, frozen := folder.Frozen("acme", "prod"); frozen {
		t.Errorf("the other environment is frozen by %v", d)
	}
	organization := mustLoad(t, schema.NewLoader(schema.Options{}), source(fstest.MapFS{"acme": {Data: []byte("elsewhere"), Mode: fs.ModeSymlink | 0o777}}))
	if _, frozen := organization.Frozen("acme", "prod"); !frozen {
		t.Errorf("an organization that is a link is not frozen: %v", codes(organization.Diagnostics()))
	}
	policies := mustLoad(t, schema.NewLoader(schema.Options{}), source(fstest.MapFS{"policies": {Data: []byte("elsewhere"), Mode: fs.ModeSymlink | 0o777}, "acme/prod/s.yaml": stack, "m/main.tf": {}}))
	if _, frozen := policies.Frozen("acme", "prod"); !frozen {
		t.Errorf("policies that are a link freeze nothing: %v", codes(policies.Diagnostics()))
	}
}
