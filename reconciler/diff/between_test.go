package diff_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/schema"
)

// between is what merging a change of files affects, a line each.
func between(t *testing.T, files, change map[string]string) []string {
	t.Helper()
	w := setup(t, files)
	base := w.input
	for name, text := range change {
		if text == "" {
			delete(w.files, name)
		} else {
			w.files[name] = text
		}
	}
	w.reload(t)
	merged := w.input
	if r, moved := change["revision"]; moved {
		for src := range merged.Revisions {
			if strings.HasSuffix(src.Path, r) {
				merged.Revisions[src] = "sha1:" + strings.Repeat("b", 40)
			}
		}
	}
	var out []string
	at := map[schema.ResourceKey]int{}
	for i, a := range diff.Between(base, merged) {
		at[a.Key] = i
		line := fmt.Sprintf("%s %s", a.Action, a.Key.Env+"/"+a.Key.Name)
		for _, b := range a.Because {
			line += fmt.Sprintf(" [%s %s]", b.Cause, b.Detail)
		}
		if a.MovedFrom != "" {
			line += " from " + a.MovedFrom
		}
		for _, k := range a.After {
			line += " after " + k.Name
			if at[k] >= i {
				t.Errorf("%s stands before %s, which it comes after", a.Key, k)
			}
		}
		if a.Error != nil {
			line += " error " + a.Error.String()
		}
		out = append(out, line)
	}
	return out
}

func TestBetween(t *testing.T) {
	t.Parallel()
	three := threeTier()
	edit := func(name, old, is string) map[string]string {
		if !strings.Contains(three[name], old) {
			t.Fatalf("%s has no %q:\n%s", name, old, three[name])
		}
		return map[string]string{name: strings.ReplaceAll(three[name], old, is)}
	}
	for name, test := range map[string]struct {
		files, change map[string]string
		want          []string
	}{
		"nothing": {three, nil, nil},
		"a new resource": {three, map[string]string{"acme/dev/more.yaml": stack("more", "net", "a: 1")},
			[]string{"apply dev/more [new ]"}},
		"a file that was renamed": {map[string]string{"acme/dev/a.yaml": stack("a", "net", "a: 1")},
			map[string]string{"acme/dev/a.yaml": "", "acme/dev/b.yaml": stack("a", "net", "a: 1")},
			[]string{"apply dev/a from acme/dev/a.yaml"}},
		"a file that was renamed and changed": {map[string]string{"acme/dev/a.yaml": stack("a", "net", "a: 1")},
			map[string]string{"acme/dev/a.yaml": "", "acme/dev/b.yaml": stack("a", "net", "a: 2")},
			[]string{"apply dev/a [spec a] from acme/dev/a.yaml"}},
		"a comment in a file": {map[string]string{"acme/dev/a.yaml": stack("a", "net", "a: 1")},
			map[string]string{"acme/dev/a.yaml": "# why\n" + stack("a", "net", "a: 1")}, nil},
		"a resource that goes": {map[string]string{"acme/dev/a.yaml": stack("a", "net", "a: 1"), "acme/dev/b.yaml": stack("b", "net", "a: 1")},
			map[string]string{"acme/dev/a.yaml": ""}, []string{"destroy dev/a [removed acme/dev/a.yaml]"}},
		"a move to another environment": {map[string]string{"acme/dev/a.yaml": stack("a", "net", "a: 1"), "acme/prod/b.yaml": stack("b", "net", "a: 1")},
			map[string]string{"acme/dev/a.yaml": "", "acme/prod/a.yaml": stack("a", "net", "a: 1")},
			[]string{"apply prod/a [new ]", "destroy dev/a [removed acme/dev/a.yaml]"}},
		"a module": {map[string]string{"acme/dev/a.yaml": stack("a", "net", "a: 1"), "acme/dev/b.yaml": stack("b", "app", "a: 1")},
			map[string]string{"revision": "net"}, []string{"apply dev/a [module aaaaaaa → bbbbbbb]"}},
		"a broken folder": {map[string]string{"acme/dev/a.yaml": stack("a", "net", "a: 1"), "acme/prod/b.yaml": stack("b", "net", "a: 1")},
			map[string]string{"acme/dev/a.yaml": "", "acme/dev/x.yaml": "{", "acme/prod/b.yaml": stack("b", "net", "a: 2")},
			[]string{"apply prod/b [spec a]"}},
		"what reads it comes along, and what reads that": {three, edit("acme/dev/net.yaml", "10.0", "10.9"), []string{
			"apply dev/net [spec cidr]", "apply dev/data [producer acme/dev/TerraformStack/net] after net",
			"apply dev/app [producer acme/dev/TerraformStack/data] after data"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, between(t, test.files, test.change)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
