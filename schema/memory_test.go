package schema_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stackreeve/stackreeve/schema"
)

// memory is a Source in memory that knows its earlier trees and counts what is read.
type memory struct {
	files map[string]string
	hash  string
	// trees are all trees that were ever made of the same repository.
	trees map[string]map[string]string

	mu   sync.Mutex // guards read
	read []string
}

func newMemory(files map[string]string) *memory {
	m := &memory{files: files, trees: map[string]map[string]string{}}
	m.hash = treeHash(files)
	m.trees[m.hash] = files
	return m
}

// commit is the next tree: the files changed by edits, an empty content removing one.
func (m *memory) commit(edits map[string]string) *memory {
	files := maps.Clone(m.files)
	for p, c := range edits {
		if c == "" {
			delete(files, p)
			continue
		}
		files[p] = c
	}
	n := &memory{files: files, hash: treeHash(files), trees: m.trees}
	n.trees[n.hash] = files
	return n
}

// stranger is the same tree with no memory of others.
func (m *memory) stranger() *memory { return newMemory(m.files) }

func hashOf(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:8])
}

func (m *memory) TreeHash() string { return m.hash }

func treeHash(files map[string]string) string {
	h := sha256.New()
	for _, p := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s %d %s\n", p, len(files[p]), files[p])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (m *memory) Blobs() iter.Seq2[schema.Blob, error] {
	return func(yield func(schema.Blob, error) bool) {
		for _, p := range slices.Sorted(maps.Keys(m.files)) {
			if !yield(schema.Blob{Path: p, Hash: hashOf(m.files[p]), Size: int64(len(m.files[p]))}, nil) {
				return
			}
		}
	}
}

func (m *memory) Changes(from string) ([]schema.PathChange, error) {
	old, ok := m.trees[from]
	if !ok {
		return nil, schema.ErrUnknownTree
	}
	var out []schema.PathChange
	for p, c := range m.files {
		if was, had := old[p]; !had {
			out = append(out, schema.PathChange{Path: p, NewHash: hashOf(c)})
		} else if was != c {
			out = append(out, schema.PathChange{Path: p, OldHash: hashOf(was), NewHash: hashOf(c)})
		}
	}
	for p, c := range old {
		if _, has := m.files[p]; !has {
			out = append(out, schema.PathChange{Path: p, OldHash: hashOf(c)})
		}
	}
	slices.SortFunc(out, func(a, b schema.PathChange) int { return cmp.Compare(a.Path, b.Path) })
	return out, nil
}

func (m *memory) FolderHash(folder string) (string, bool) {
	for p, c := range m.files {
		if strings.HasPrefix(p, folder+"/") {
			return hashOf(c), true
		}
	}
	return "", false
}

func (m *memory) Open(name string) (fs.File, error) {
	c, ok := m.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	m.mu.Lock()
	m.read = append(m.read, name)
	m.mu.Unlock()
	return &openFile{Reader: bytes.NewReader([]byte(c)), info: fileInfo{path.Base(name), int64(len(c))}}, nil
}

// Lstat answers without counting as a read.
func (m *memory) Lstat(name string) (fs.FileInfo, error) {
	c, ok := m.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
	}
	return fileInfo{path.Base(name), int64(len(c))}, nil
}

func (m *memory) ReadLink(name string) (string, error) {
	return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
}

type openFile struct {
	*bytes.Reader
	info fileInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type fileInfo struct {
	name string
	size int64
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return 0o644 }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }

var _ fs.ReadLinkFS = (*memory)(nil)

// generated is a repository of n resources: ten to a file, five environments, a third
// of them with a reference, as large ones look.
func generated(n int) map[string]string { return generatedIn(n, 10) }

// generatedIn is generated with so many resources to a file.
func generatedIn(n, perFile int) map[string]string {
	files := map[string]string{
		"acme/components/net.yaml": component("Network", "cidrBlock: {type: string}\n      region: {type: string, enum: [eu, us]}\n      zones: {type: array, items: {type: string}}\n"+
			"      size: {type: integer, default: 3, minimum: 1}\n      tags: {type: object, additionalProperties: {type: string}}\n"+
			"      subnets: {type: array, items: {type: object, properties: {name: {type: string}, cidr: {type: string}}}}"),
		"acme/components/db.yaml": component("Database", "networkId: {type: string}\n      storageGb: {type: integer}\n      engine: {type: string}\n"+
			"      options: {type: object, additionalProperties: {type: string}}"),
		"acme/modules/network/main.tf":  "variable \"spec\" {}",
		"acme/modules/database/main.tf": "variable \"spec\" {}",
		"acme/policies/all.yaml":        "apiVersion: stackreeve.dev/v1\nkind: FlowControlPolicy\nmetadata: {name: prod}\nspec:\n  selector: {kind: environment, id: e0}\n  flowControl: {isManual: true}\n",
	}
	for f := 0; f*perFile < n; f++ {
		var b strings.Builder
		for i := f * perFile; i < min(n, (f+1)*perFile); i++ {
			if i%3 == 2 {
				fmt.Fprintf(&b, databaseText, i, (i-1)/perFile%5, i-1, i)
				continue
			}
			fmt.Fprintf(&b, networkText, i, i%256, i)
		}
		files[fmt.Sprintf("acme/e%d/g%d/f%d.yaml", f%5, f%50, f)] = b.String()
	}
	return files
}

const networkText = `---
apiVersion: test.planton.dev/v1
kind: Network
metadata:
  name: net-%d
  labels: {team: core, planton.dev/provisioner: tofu}
  annotations:
    example.com/owner: somebody
spec:
  cidrBlock: 10.%d.0.0/16
  region: eu
  zones: [eu-1a, eu-1b, eu-1c]
  tags:
    costCentre: "%d"
    managed: "yes"
  subnets:
    - name: public
      cidr: 10.0.1.0/24
    - name: private
      cidr: 10.0.2.0/24
`

const databaseText = `---
apiVersion: test.planton.dev/v1
kind: Database
metadata:
  name: db-%d
spec:
  networkId:
    valueFrom: {kind: Network, env: e%d, name: net-%d, fieldPath: status.outputs.id}
  storageGb: 100
  engine: postgres
  options:
    max_connections: "%d"
    log_statement: all
`

// component is a DeploymentComponent of a kind with these properties.
func component(kind, properties string) string {
	return fmt.Sprintf(`apiVersion: stackreeve.dev/v1
kind: DeploymentComponent
metadata: {name: %[1]s}
spec:
  apiVersion: test.planton.dev/v1
  kind: %[1]s
  schema:
    type: object
    properties:
      %[2]s
  modules:
    terraform: modules/%[3]s
`, kind, properties, strings.ToLower(kind))
}
