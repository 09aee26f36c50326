package module

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"

	"github.com/stackreeve/stackreeve/gitsource"
)

// ErrOutside is returned when a module refers to a folder outside of its repository.
var ErrOutside = errors.New("outside of the repository")

// part is a folder or file that a module consists of.
type part struct {
	path string // from the root, "." for the root
	hash string
}

// closure is a module's folder and all that it refers to: local modules ("./" and
// "../" sources), and what symlinks point at. Files read by an expression
// (file("../x")) cannot be known, and are there only if something else brings them.
type closure []part

// revision names the content. Paths are in it, since "../" counts on them.
func (c closure) revision() string {
	h := sha256.New()
	_, _ = fmt.Fprintln(h, "module v1")
	for _, p := range c {
		_, _ = fmt.Fprintf(h, "%s\x00%s\n", p.path, p.hash)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// closureOf finds everything that the module in folder consists of.
func (m *Modules) closureOf(snap gitsource.Snapshot, folder string) (closure, error) {
	folder = path.Clean(folder)
	var out closure
	seen := map[string]bool{}
	for queue := []string{folder}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if seen[at] {
			continue
		}
		seen[at] = true
		hash, ok := snap.FolderHash(at)
		if !ok {
			raw, err := fs.ReadFile(snap, at)
			if errors.Is(err, fs.ErrNotExist) || at == folder {
				return nil, fmt.Errorf("module /%s: there is no folder /%s", folder, at)
			}
			if err != nil {
				return nil, fmt.Errorf("module /%s: %w", folder, err)
			}
			sum := sha256.Sum256(raw)
			out = append(out, part{at, hex.EncodeToString(sum[:])})
			continue
		}
		out = append(out, part{at, hash})
		refs, err := m.references(snap, at, hash)
		if err != nil {
			return nil, fmt.Errorf("module /%s: %w", folder, err)
		}
		for _, r := range refs {
			to, via, err := resolve(snap, path.Join(at, path.Dir(r.from)), r.to)
			if err != nil {
				return nil, fmt.Errorf("module /%s: %s refers to %q: %w", folder, path.Join(at, r.from), r.to, err)
			}
			queue = append(append(queue, via...), to)
		}
	}
	slices.SortFunc(out, func(a, b part) int { return cmp.Compare(a.path, b.path) })
	return out, nil
}

// reference is a path that a folder's file names; from is relative to the folder, to
// is relative to where from is.
type reference struct{ from, to string }

// maxRemembered bounds the folders whose references are kept.
const maxRemembered = 4096

// references reads one folder; equal folders are read once.
func (m *Modules) references(snap gitsource.Snapshot, folder, hash string) ([]reference, error) {
	m.mu.Lock()
	refs, ok := m.refs[hash]
	m.mu.Unlock()
	if ok {
		return refs, nil
	}
	err := fs.WalkDir(snap, folder, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		p := at
		if folder != "." {
			p = strings.TrimPrefix(at, folder+"/")
		}
		if d.Type()&fs.ModeSymlink != 0 {
			to, err := fs.ReadLink(snap, at)
			if err != nil {
				return err
			}
			refs = append(refs, reference{p, to})
			return nil
		}
		if d.IsDir() || strings.Contains(p, "/") || !isCode(p) {
			return nil
		}
		raw, err := fs.ReadFile(snap, at)
		if err != nil {
			return err
		}
		for _, to := range localSources(raw, p) {
			refs = append(refs, reference{p, to})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.refs) >= maxRemembered {
		clear(m.refs)
	}
	m.refs[hash] = refs
	return refs, nil
}

func isCode(name string) bool {
	for _, ext := range []string{".tf", ".tofu", ".tf.json", ".tofu.json"} {
		if strings.HasSuffix(name, ext) {
			return true
		}
	}
	return false
}

// localSources lists the sources of module blocks that start with "./" or "../". What
// cannot be parsed is left to the engine, which explains it better.
func localSources(raw []byte, name string) []string {
	var f *hcl.File
	if strings.HasSuffix(name, ".json") {
		f, _ = json.Parse(raw, name)
	} else {
		f, _ = hclsyntax.ParseConfig(raw, name, hcl.InitialPos)
	}
	if f == nil || f.Body == nil {
		return nil
	}
	content, _, _ := f.Body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "module", LabelNames: []string{"name"}}}})
	var out []string
	for _, b := range content.Blocks {
		inner, _, _ := b.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "source"}}})
		a, ok := inner.Attributes["source"]
		if !ok {
			continue
		}
		v, _ := a.Expr.Value(nil)
		if v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
			continue
		}
		if s := v.AsString(); strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || s == "." || s == ".." {
			out = append(out, s)
		}
	}
	return out
}
