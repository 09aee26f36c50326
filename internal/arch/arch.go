// Package arch guards the shape of the source tree: which package may import
// which, and what a pure package may import at all.
//
// The model is a picture whose arrows point down:
//
//	cmd ▸ app ▸ {web, reconciler} ▸ ports {store, gitsource, engine} ▸ stackjob ▸ schema ▸ diag
//	                  └▸ decisions {diff, flowcontrol, report} ┘
//
// [Check] compares what packages import with [Rules] and returns what does not
// fit; the tests feed it the tree as "go list" sees it. A new package needs a
// rule: without one it is reported, so that its place is a decision. Imports of
// test files are not judged, nor are those of one package that is there for tests
// by another.
package arch

import (
	"fmt"
	"slices"
	"strings"
)

// Module is the path of our module.
const Module = "github.com/stackreeve/stackreeve"

// Package is a package of our module and what its non-test files import.
type Package struct {
	// Path is relative to the module: "schema/diag".
	Path string
	// Imports are full import paths.
	Imports []string
}

// Rule says what packages may import of our module. A pattern is a package
// ("schema") or a package with all below it ("schema/..."). Of several rules for
// a package, the one with the longest pattern is in force.
type Rule struct {
	// For is the pattern of the packages that the rule is for.
	For string
	// May lists patterns of packages that they may import. Packages that the
	// same "/..." rule is for may always import one another.
	May []string
	// Never lists patterns that hold against May.
	Never []string
	// Because is the reason, for the one who breaks the rule.
	Because string
}

// nouns are what everything may speak of.
var nouns = []string{"schema", "schema/diag", "reconciler/stackjob", "reconciler/pull"}

// ports are the contracts; what stands below one is an adapter.
var ports = []string{"reconciler/store", "gitsource", "gitsource/forge", "reconciler/engine"}

// adapters are known to app alone.
var adapters = []string{"reconciler/store/...", "gitsource/...", "reconciler/engine/..."}

// Rules returns the arrows.
func Rules() []Rule {
	join := slices.Concat[[]string]
	decisions := []string{"reconciler/diff", "reconciler/flowcontrol", "reconciler/access", "reconciler/command", "reconciler/report", "reconciler/report/comment"}
	below := func(patterns []string) (out []string) { // "x/..." without x itself
		for _, p := range patterns {
			out = append(out, strings.TrimSuffix(p, "/...")+"/*")
		}
		return out
	}
	return []Rule{
		{For: "schema/diag", Because: "a diagnostic is the lowest noun"},
		{For: "schema/...", Because: "the language of the config repository knows nothing of what is done with it"},
		{For: "reconciler/stackjob", May: []string{"schema", "schema/diag"}, Because: "the product's nouns know only the language"},
		{For: "reconciler/pull", May: []string{"schema", "reconciler/stackjob"}, Because: "what is remembered of a pull request is told in the product's nouns"},
		{For: "reconciler/diff/...", May: nouns, Because: "a decision is a function of nouns"},
		{For: "reconciler/flowcontrol/...", May: nouns, Because: "a decision is a function of nouns"},
		{For: "reconciler/access/...", May: nouns, Because: "a decision is a function of nouns"},
		{For: "reconciler/command/...", May: nouns, Because: "a decision is a function of nouns"},
		{For: "reconciler/report/...", May: nouns, Because: "rendering is a function of nouns"},

		{For: "reconciler/store/...", May: join(nouns, []string{"internal/folderlock"}), Because: "a port knows no other port"},
		{For: "gitsource/...", May: join(nouns, []string{"internal/folderlock"}), Because: "a port knows no other port"},
		{For: "reconciler/engine/...", May: nouns, Because: "a port knows no other port"},

		{For: "reconciler/pace", Because: "how loops wait depends on nothing that they do"},
		{For: "reconciler", May: join(nouns, ports, decisions, []string{"reconciler/pace"}), Because: "the loop knows ports, not adapters"},
		{For: "reconciler/pullrequest", May: join(nouns, ports, decisions, []string{"reconciler", "reconciler/pace"}), Because: "the loop of pull requests knows ports, not adapters"},
		{For: "internal/api", May: join(nouns, ports, []string{"internal/config"}), Because: "the words of the API are the nouns, what ports return and settings"},
		{For: "internal/web/...", May: join(nouns, ports, decisions, []string{"internal/api", "internal/config"}), Because: "the API is served from what a backend offers"},
		{For: "internal/desk/...", May: join(nouns, ports, decisions, []string{"internal/api", "reconciler"}), Because: "what people ask and answer goes through the loop and the ports"},
		{For: "internal/folderlock", Because: "a lock knows no folder's meaning"},
		{For: "internal/program/...", May: []string{"schema", "schema/diag", "reconciler/stackjob", "reconciler/engine", "internal/folderlock"}, Because: "what finds and gets engines knows the engine port, and no stack"},
		{For: "internal/seal", Because: "sealing knows keys and bytes, not what they mean"},
		{For: "internal/config", May: []string{"schema/diag"}, Because: "settings are read before anything is made"},
		{For: "internal/app/...", May: []string{"..."}, Never: []string{"cmd/...", "internal/arch"}, Because: "app puts the parts together"},
		{For: "cmd/reeve/...", May: []string{"..."}, Never: join(below(adapters), []string{"internal/arch"}), Because: "only app names adapters"},

		{For: "internal/tool/...", Because: "tools stand beside the product"},
		{For: "internal/arch", Because: "the guard knows nobody"},
		{For: "examples/...", Because: "examples are data; their tests import what they like"},
	}
}

// Purity is what pure packages may import from outside our module.
type Purity struct {
	// Packages are patterns of the pure packages.
	Packages []string
	// Forbidden are standard packages, as patterns.
	Forbidden []string
	// Libraries are the modules of others that they may import.
	Libraries []string
}

// Pure returns the law of pure packages: what they find out depends on nothing
// but what they are given, and everything they do is returned.
func Pure() Purity {
	return Purity{
		Packages: []string{
			"schema/...", "reconciler/stackjob/...", "reconciler/pull/...", "reconciler/diff/...", "reconciler/access/...", "reconciler/command/...", "reconciler/flowcontrol/...", "reconciler/report/...",
		},
		Forbidden: []string{
			"os/...", "net", "net/http/...", "database/sql/...", "log/...", "math/rand/...", "crypto/rand", "syscall",
		},
		Libraries: []string{
			"go.yaml.in/yaml/v4",
			"github.com/agext/levenshtein",
			"github.com/bmatcuk/doublestar/v4",
			"github.com/hashicorp/go-version",
			"github.com/invopop/jsonschema",
			"github.com/mattn/go-runewidth",
			"github.com/santhosh-tekuri/jsonschema/v6",
			"golang.org/x/sync",
			"golang.org/x/text",
		},
	}
}

// Check returns one line per import that breaks a rule, or package without one,
// in the order of the packages.
func Check(packages []Package, rules []Rule, pure Purity) []string {
	var broken []string
	for _, p := range packages {
		rule, ok := ruleFor(rules, p.Path)
		if !ok {
			broken = append(broken, p.Path+": no rule says where this package stands: give it one in internal/arch")
			continue
		}
		for _, imported := range p.Imports {
			own, isOwn := strings.CutPrefix(imported, Module+"/")
			switch {
			case isOwn && isForTests(own) && isForTests(p.Path): // neither is in the product
			case isOwn && !rule.allows(own):
				broken = append(broken, fmt.Sprintf("%s may not import %s: %s", p.Path, own, rule.Because))
			case isOwn && isForTests(own) && !isForTests(p.Path):
				broken = append(broken, fmt.Sprintf("%s may not import %s: it is there for tests", p.Path, own))
			case !isOwn && matchesAny(pure.Packages, p.Path):
				if reason := pure.objection(imported); reason != "" {
					broken = append(broken, fmt.Sprintf("%s may not import %s: %s", p.Path, imported, reason))
				}
			}
		}
	}
	return broken
}

func ruleFor(rules []Rule, path string) (Rule, bool) {
	var best Rule
	found := false
	for _, r := range rules {
		if matches(r.For, path) && (!found || len(r.For) > len(best.For)) {
			best, found = r, true
		}
	}
	return best, found
}

func (r Rule) allows(path string) bool {
	if matchesAny(r.Never, path) {
		return false
	}
	if strings.HasSuffix(r.For, "/...") && matches(r.For, path) {
		return true
	}
	return matchesAny(r.May, path)
}

// objection says why a pure package may not import a path from outside; "" if it
// may.
func (p Purity) objection(path string) string {
	if isStandard(path) {
		if matchesAny(p.Forbidden, path) {
			return "the package is pure: take the value from the caller, or return it"
		}
		return ""
	}
	for _, library := range p.Libraries {
		if matches(library+"/...", path) {
			return ""
		}
	}
	return "the library is not among those of pure packages: see Pure in internal/arch"
}

// isStandard tells a package of Go's library by the lack of a dot in its first
// element.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// isForTests tells a package that tests alone use by its name: "storetest".
func isForTests(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(element string) bool {
		return strings.HasSuffix(element, "test")
	})
}

// matches tells whether a path is what the pattern names: "x" is x, "x/..." is x
// and all below, "x/*" is all below x, "..." is everything.
func matches(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if root, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(path, root+"/")
	}
	root, isTree := strings.CutSuffix(pattern, "/...")
	return path == root || isTree && strings.HasPrefix(path, root+"/")
}

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}
