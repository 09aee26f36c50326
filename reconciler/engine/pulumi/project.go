package pulumi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// project is what we read of a program's Pulumi.yaml.
type project struct {
	file    string
	name    string
	runtime string
	// main is the folder of the code in the project's, "" for the project's own.
	main    string
	options runtimeOptions
	// plugins is the section of that name, decoded; nil when there is none.
	plugins map[string]any
	text    []byte
	// at is the name's node in text.
	at *yaml.Node
}

// runtimeOptions are those of a project's runtime that matter before it runs; a language
// has few of them.
type runtimeOptions struct {
	Binary     string `yaml:"binary"`
	Virtualenv string `yaml:"virtualenv"`
	Toolchain  string `yaml:"toolchain"`
}

// projectFiles are the names that Pulumi looks for.
var projectFiles = []string{"Pulumi.yaml", "Pulumi.yml", "Pulumi.json"}

// readProject reads the project of a program's folder.
func readProject(dir, shown string) (*project, error) {
	for _, name := range projectFiles {
		text, err := readIfThere(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if text != nil {
			return parseProject(name, text)
		}
	}
	return nil, telling.Author(stackjob.ReasonModule, "no Pulumi.yaml in "+shown,
		fmt.Sprintf("There is no Pulumi.yaml in the program's folder %s.\nCheck the program's path: it must be the folder of a Pulumi project.", shown))
}

func parseProject(file string, text []byte) (*project, error) {
	bad := func(line, column int, what string) error {
		return telling.Author(stackjob.ReasonModule, file,
			fmt.Sprintf("%s:%d:%d: %s.\nSee https://www.pulumi.com/docs/iac/concepts/projects/project-file/.", file, line, column, what))
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, bad(1, 1, "the project is no YAML: "+err.Error())
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, bad(1, 1, "the project is no mapping; expected `name` and `runtime`")
	}
	p := &project{file: file, text: text}
	top := doc.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		value := top.Content[i+1]
		switch top.Content[i].Value {
		case "name":
			p.name, p.at = value.Value, value
		case "runtime":
			p.runtime = value.Value
			for j := 0; value.Kind == yaml.MappingNode && j+1 < len(value.Content); j += 2 {
				switch value.Content[j].Value {
				case "name":
					p.runtime = value.Content[j+1].Value
				case "options":
					if err := value.Content[j+1].Decode(&p.options); err != nil {
						return nil, bad(value.Content[j+1].Line, value.Content[j+1].Column, "`options` of the runtime are no mapping of texts")
					}
				}
			}
			if p.runtime == "" {
				return nil, bad(value.Line, value.Column, "`runtime` names no language; expected one like yaml, go, nodejs or python")
			}
		case "main":
			p.main = value.Value
		case "plugins":
			if err := value.Decode(&p.plugins); err != nil {
				return nil, bad(value.Line, value.Column, "`plugins` is no mapping")
			}
		}
	}
	switch {
	case p.at == nil || p.at.Kind != yaml.ScalarNode || p.name == "":
		return nil, bad(top.Line, top.Column, "the project has no `name`; expected a word")
	case p.runtime == "":
		return nil, bad(top.Line, top.Column, "the project has no `runtime`; expected one like yaml, go, nodejs or python")
	}
	return p, nil
}

// named is the project's text with another name. All else stays where it is, so that
// what Pulumi says of lines and columns holds in the author's file.
func (p *project) named(name string) ([]byte, error) {
	lines := bytes.SplitAfter(p.text, []byte("\n"))
	if p.at.Line < 1 || p.at.Line > len(lines) {
		return nil, fmt.Errorf("%s: the place of its name is not known", p.file)
	}
	line := []rune(string(lines[p.at.Line-1]))
	from := p.at.Column - 1
	for _, written := range []string{p.name, `"` + p.name + `"`, "'" + p.name + "'"} {
		if from >= 0 && from <= len(line) && strings.HasPrefix(string(line[from:]), written) {
			lines[p.at.Line-1] = []byte(string(line[:from]) + name + strings.TrimPrefix(string(line[from:]), written))
			return bytes.Join(lines, nil), nil
		}
	}
	return nil, telling.Author(stackjob.ReasonModule, p.file, fmt.Sprintf("%s:%d:%d: the project's name is written in a way that cannot be replaced by %q.\nWrite it as one plain word.",
		p.file, p.at.Line, p.at.Column, name))
}

// empty is the project of the empty program: the same plugins, no config to check. A
// plugin's path is meant from the project's folder.
func (p *project) empty(name, module string) ([]byte, error) {
	out := map[string]any{"name": name, "runtime": "go"}
	if p != nil && p.plugins != nil {
		out["plugins"] = absolutePaths(p.plugins, module)
	}
	return yaml.Marshal(out)
}

func absolutePaths(v any, dir string) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if path, ok := e.(string); ok && k == "path" && !filepath.IsAbs(path) {
				out[k] = filepath.Join(dir, path)
				continue
			}
			out[k] = absolutePaths(e, dir)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = absolutePaths(e, dir)
		}
		return out
	}
	return v
}

// digest is the digest of the program's folder in the checkout, without what was made of it.
func (p *project) digest(dir string) (string, error) {
	made := p.madeFolders()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir() && (e.Name() == ".git" || slices.Contains(made, e.Name())):
			return fs.SkipDir
		case e.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			fmt.Fprintf(h, "link %q %q\n", name, to)
			return err
		case !e.Type().IsRegular():
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "file %q %d %t\n", name, st.Size(), st.Mode()&0o111 != 0)
		_, err = io.Copy(h, f)
		return err
	})
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), err
}
