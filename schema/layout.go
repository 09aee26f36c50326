package schema

import (
	"path"
	"slices"
	"strings"
)

// scope is the part of the repository that a file belongs to: the platform ("" and
// ""), an organization (env "") or an environment.
type scope struct{ org, env string }

// covers tells whether o lies in s.
func (s scope) covers(o scope) bool {
	return s.org == "" || s.org == o.org && (s.env == "" || s.env == o.env)
}

// String names the folder as people see it.
func (s scope) String() string {
	switch {
	case s.org == "":
		return "the platform"
	case s.env == "":
		return s.org
	}
	return s.org + "/" + s.env
}

// role says what a file is to the loader.
type role uint8

const (
	// ignored files are never read.
	ignored role = iota
	// documents are read, and must be documents.
	documents
	// mixed files are read, and what does not look like a document is none.
	mixed
	// stray files lie where nothing is read from, which is worth a word.
	stray
)

// layout is what a path says about a file.
type layout struct {
	scope scope
	role  role
	// badFolder is a folder of the path whose name is no slug.
	badFolder string
}

// layoutOf classifies a path. It looks at nothing but the path.
func layoutOf(p string) layout {
	parts := strings.Split(p, "/")
	for _, s := range parts {
		if strings.HasPrefix(s, ".") {
			return layout{}
		}
	}
	name := parts[len(parts)-1]
	if !isYAML(name) {
		return layout{}
	}
	if len(parts) == 1 {
		if n := strings.ToLower(name); n == "platform.yaml" || n == "platform.yml" {
			return layout{role: documents}
		}
		if strings.HasPrefix(name, "Pulumi.") {
			return layout{} // the root is a program: its project, and its stacks' configuration
		}
		return layout{role: stray}
	}
	if slices.Contains(ReservedFolders, parts[0]) {
		return layout{role: reservedRole(parts[0])}
	}
	l := layout{scope: scope{org: Slug(parts[0])}, role: documents}
	if l.scope.org != parts[0] {
		l.badFolder = parts[0]
	}
	if slices.Contains(ReservedFolders, l.scope.org) {
		// "Policies" was meant to be "policies": its error counts for all.
		l.scope.org = ""
		return l
	}
	if l.scope.org == "" {
		return layout{role: stray}
	}
	if len(parts) == 2 {
		return l
	}
	if slices.Contains(ReservedFolders, parts[1]) {
		l.role = reservedRole(parts[1])
		return l
	}
	l.scope.env = Slug(parts[1])
	if l.scope.env != parts[1] && l.badFolder == "" {
		l.badFolder = path.Join(parts[0], parts[1])
	}
	if l.scope.env == "" {
		return layout{role: stray}
	}
	if slices.Contains(ReservedFolders, l.scope.env) {
		l.scope.env = ""
	}
	return l
}

// reservedRole says how the files of a reserved folder are read.
func reservedRole(folder string) role {
	switch folder {
	case "charts", "templates", "services":
		return ignored
	case "modules":
		return mixed
	}
	return documents
}

// isYAML goes by the name's end, in any case: a file that is renamed to end in .YAML
// must not look removed.
func isYAML(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	return ext == ".yaml" || ext == ".yml"
}

// isCode tells whether a file makes its folder a module's code folder.
func isCode(p string) bool {
	name := path.Base(p)
	return strings.HasSuffix(name, ".tf") || strings.HasSuffix(name, ".tf.json") || strings.HasSuffix(name, ".tofu") ||
		name == "Pulumi.yaml" || name == "Pulumi.yml"
}

// codeFolderOf is the code folder that p lies in, or "". The root, an organization, an
// environment and a reserved folder itself are never code folders, so that a stray
// .tf file cannot make all documents beside it disappear.
func codeFolderOf(p string, folders map[string]*codeFolder) string {
	least := 2
	if first, _, _ := strings.Cut(p, "/"); slices.Contains(ReservedFolders, first) {
		least = 1
	}
	for dir := path.Dir(p); strings.Count(dir, "/") >= least; dir = path.Dir(dir) {
		if _, ok := folders[dir]; ok {
			return dir
		}
	}
	return ""
}

// codeFolder counts the files that make a folder a module's code.
type codeFolder struct{ terraform, pulumi int }

func (c *codeFolder) add(p string, n int) {
	if strings.HasPrefix(path.Base(p), "Pulumi.") {
		c.pulumi += n
		return
	}
	c.terraform += n
}
