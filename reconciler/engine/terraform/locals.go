package terraform

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
)

// localReader finds what the local values of a module refer to. A plan does not tell: it
// names a local value where one is used and says nothing of what it is made of.
type localReader struct {
	root, data string
	// read are the references by module ("a.b" in the words of the engine) and name.
	read map[string]map[string][]string
}

// refersTo returns the references of a local value; false when its code cannot be read.
func (l *localReader) refersTo(module, name string) ([]string, bool) {
	if l.read == nil {
		l.read = map[string]map[string][]string{}
	}
	if l.read[module] == nil {
		l.read[module] = l.readModule(module)
	}
	refs, ok := l.read[module][name]
	return refs, ok
}

func (l *localReader) readModule(module string) map[string][]string {
	out := map[string][]string{}
	dir, ok := l.folder(module)
	if !ok {
		return out
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return out
	}
	parser := hclparse.NewParser()
	for _, e := range entries {
		name := e.Name()
		isJSON := strings.HasSuffix(name, ".tf.json") || strings.HasSuffix(name, ".tofu.json")
		if !isJSON && !strings.HasSuffix(name, ".tf") && !strings.HasSuffix(name, ".tofu") {
			continue
		}
		parse := parser.ParseHCLFile
		if isJSON {
			parse = parser.ParseJSONFile
		}
		// The engine has read it without an error, or there would be no plan.
		f, _ := parse(filepath.Join(dir, name))
		if f == nil {
			continue
		}
		content, _, _ := f.Body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "locals"}}})
		for _, block := range content.Blocks {
			set, _ := block.Body.JustAttributes()
			for name, a := range set {
				refs := out[name]
				if refs == nil {
					refs = []string{} // it is known, and may refer to nothing
				}
				for _, t := range a.Expr.Variables() {
					refs = append(refs, reference(t))
				}
				out[name] = refs // an override file gives a second one: both count
			}
		}
	}
	return out
}

// folder is where init has put a module.
func (l *localReader) folder(module string) (string, bool) {
	if module == "" {
		return l.root, true
	}
	b, err := os.ReadFile(filepath.Join(l.data, "modules", "modules.json"))
	if err != nil {
		return "", false
	}
	var in struct {
		Modules []struct{ Key, Dir string }
	}
	if json.Unmarshal(b, &in) != nil {
		return "", false
	}
	for _, m := range in.Modules {
		if m.Key == module {
			if filepath.IsAbs(m.Dir) {
				return m.Dir, true
			}
			return filepath.Join(l.root, m.Dir), true
		}
	}
	return "", false
}

// reference writes a reference as plans do.
func reference(t hcl.Traversal) string {
	var b strings.Builder
	for _, part := range t {
		switch p := part.(type) {
		case hcl.TraverseRoot:
			b.WriteString(p.Name)
		case hcl.TraverseAttr:
			b.WriteString("." + p.Name)
		case hcl.TraverseIndex:
			switch {
			case p.Key.Type() == cty.String:
				fmt.Fprintf(&b, "[%q]", p.Key.AsString())
			case p.Key.Type() == cty.Number:
				b.WriteString("[" + p.Key.AsBigFloat().Text('f', -1) + "]")
			default:
				return b.String()
			}
		default: // of all of them
			return b.String()
		}
	}
	return b.String()
}
