package tool

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go/version"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/config"
)

const treeRoot = "../.."

// instruction is one of a Dockerfile, with its continuation lines joined.
type instruction struct {
	line  int
	name  string
	words []string
	rest  string
}

// stage is a FROM and what follows it.
type stage struct {
	image        string
	instructions []instruction
}

func (s stage) all(name string) (found []instruction) {
	for _, i := range s.instructions {
		if i.name == name {
			found = append(found, i)
		}
	}
	return found
}

// the returns the only instruction of that name.
func (s stage) the(t *testing.T, name string) instruction {
	t.Helper()
	found := s.all(name)
	if len(found) != 1 {
		t.Fatalf("the stage of %s has %d %s instructions, want one", s.image, len(found), name)
	}
	return found[0]
}

// copied returns the sources of COPY instructions that come from the tree.
func (s stage) copied() (sources []string) {
	for _, i := range s.all("COPY") {
		if !strings.HasPrefix(i.words[0], "--") {
			sources = append(sources, i.words[:len(i.words)-1]...)
		}
	}
	return sources
}

func parseDockerfile(t *testing.T, text string) []stage {
	t.Helper()
	var stages []stage
	lines := bufio.NewScanner(strings.NewReader(text))
	joined, started := "", 0
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		if joined == "" {
			started = n
		}
		if head, more := strings.CutSuffix(line, `\`); more {
			joined += head + " "
			continue
		}
		joined += line
		name, rest, _ := strings.Cut(joined, " ")
		i := instruction{line: started, name: strings.ToUpper(name), words: strings.Fields(rest), rest: strings.TrimSpace(rest)}
		joined = ""
		if i.name == "FROM" {
			stages = append(stages, stage{image: i.words[0]})
			continue
		}
		if len(stages) == 0 {
			t.Fatalf("Dockerfile:%d: %s before the first FROM", i.line, i.name)
		}
		last := &stages[len(stages)-1]
		last.instructions = append(last.instructions, i)
	}
	if joined != "" {
		t.Fatalf("Dockerfile:%d: the instruction does not end", started)
	}
	return stages
}

func readTree(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(treeRoot, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// dockerfile returns the stage that builds and the one that is shipped.
func dockerfile(t *testing.T) (build, shipped stage) {
	t.Helper()
	stages := parseDockerfile(t, readTree(t, "Dockerfile"))
	if len(stages) != 2 {
		t.Fatalf("the Dockerfile has %d stages, want two", len(stages))
	}
	return stages[0], stages[1]
}

func TestEveryPathTheImageCopiesIsInTheTreeAndSentToTheBuilder(t *testing.T) {
	t.Parallel()
	sent := map[string]bool{}
	for line := range strings.Lines(readTree(t, ".dockerignore")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			sent[name] = true
			if _, err := os.Stat(filepath.Join(treeRoot, name)); err != nil {
				t.Errorf(".dockerignore lets through what is not there: %v", err)
			}
		}
	}
	build, shipped := dockerfile(t)
	used := map[string]bool{}
	for _, source := range append(build.copied(), shipped.copied()...) {
		info, err := os.Stat(filepath.Join(treeRoot, source))
		if err != nil {
			t.Errorf("COPY %s: %v", source, err)
			continue
		}
		if info.IsDir() != strings.HasSuffix(source, "/") {
			t.Errorf("COPY %s: write a folder, and only a folder, with a slash at its end", source)
		}
		top, _, _ := strings.Cut(source, "/")
		used[top] = true
	}
	if diff := cmp.Diff(used, sent); diff != "" {
		t.Errorf(".dockerignore lets through something else than is copied (-copied +let through):\n%s", diff)
	}
}

// ownDependencies lists the folders of our module that a package is made of.
func ownDependencies(t *testing.T, pkg string) []string {
	t.Helper()
	const module = "github.com/stackreeve/stackreeve/"
	cmd := exec.Command("go", "list", "-e", "-deps", pkg)
	cmd.Dir = treeRoot
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	var folders []string
	for line := range strings.Lines(string(out)) {
		if own, ok := strings.CutPrefix(strings.TrimSpace(line), module); ok {
			folders = append(folders, own)
		}
	}
	if len(folders) == 0 {
		t.Fatalf("%s is made of nothing of ours", pkg)
	}
	return folders
}

func TestTheImageCopiesEverythingThatIsBuilt(t *testing.T) {
	t.Parallel()
	build, _ := dockerfile(t)
	copied := func(folder string) bool {
		return slices.ContainsFunc(build.copied(), func(source string) bool {
			return strings.HasPrefix(folder+"/", source)
		})
	}
	for _, folder := range ownDependencies(t, "./cmd/reeve") {
		if !copied(folder) {
			t.Errorf("reeve needs %s, which the Dockerfile does not copy", folder)
		}
	}
	// The engine's layer is built when only internal/tool is there.
	for _, folder := range ownDependencies(t, "./internal/tool/cmd/reeve-tools") {
		if !strings.HasPrefix(folder, "internal/tool") {
			t.Errorf("reeve-tools needs %s: then every change of it would build OpenTofu anew", folder)
		}
	}
}

func TestTheImageIsPinnedAndItsGoIsNewEnough(t *testing.T) {
	t.Parallel()
	build, shipped := dockerfile(t)
	goImage := regexp.MustCompile(`^golang:(\d+\.\d+\.\d+)-bookworm$`).FindStringSubmatch(build.image)
	if goImage == nil {
		t.Fatalf("built on %s: want golang with a whole version", build.image)
	}
	if !regexp.MustCompile(`^debian:bookworm-\d{8}-slim$`).MatchString(shipped.image) {
		t.Errorf("shipped on %s: want a slim Debian of a day", shipped.image)
	}
	directive := regexp.MustCompile(`(?m)^go (\S+)$`)
	for name, text := range map[string]string{"go.mod": readTree(t, "go.mod"), "the recipe of OpenTofu": OpenTofuRecipe().GoMod} {
		if need := directive.FindStringSubmatch(text)[1]; version.Compare("go"+goImage[1], "go"+need) < 0 {
			t.Errorf("%s needs Go %s, the image has %s", name, need, goImage[1])
		}
	}
}

func TestTheImageRunsTheDaemonAsNobody(t *testing.T) {
	t.Parallel()
	_, shipped := dockerfile(t)
	user, _, _ := strings.Cut(shipped.the(t, "USER").rest, ":")
	if uid, err := strconv.Atoi(user); err != nil || uid == 0 {
		t.Errorf("USER %s: want a number that is not root's", user)
	}
	for _, want := range []struct {
		instruction string
		words       []string
	}{{"ENTRYPOINT", []string{"reeve"}}, {"CMD", []string{"serve"}}} {
		var words []string
		i := shipped.the(t, want.instruction)
		if err := json.Unmarshal([]byte(i.rest), &words); err != nil {
			t.Errorf("Dockerfile:%d: %s is not in its JSON form: a shell would stand between", i.line, want.instruction)
		}
		if diff := cmp.Diff(want.words, words); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.instruction, diff)
		}
	}
	// What runs as root must come before USER, and the volume's folder be made by then.
	atUser := slices.IndexFunc(shipped.instructions, func(i instruction) bool { return i.name == "USER" })
	for n, i := range shipped.instructions {
		if i.name == "RUN" && n > atUser {
			t.Errorf("Dockerfile:%d: RUN after USER", i.line)
		}
	}
	volume := shipped.the(t, "VOLUME").rest
	owned := fmt.Sprintf("install -d -o %s -g %s -m 0700 %s", user, user, volume)
	if !slices.ContainsFunc(shipped.all("RUN"), func(i instruction) bool { return strings.Contains(i.rest, owned) }) {
		t.Errorf("nothing gives the volume to its user: want %q", owned)
	}

	known := map[string]bool{}
	for name := range maps.Values(config.Variables()) {
		known[name] = true
	}
	values := map[string]string{}
	for _, word := range shipped.the(t, "ENV").words {
		name, value, _ := strings.Cut(word, "=")
		values[name] = value
		if strings.HasPrefix(name, "REEVE_") && !known[name] {
			t.Errorf("ENV %s: reeve knows no such variable", name)
		}
	}
	if values["REEVE_DATA_DIR"] != volume {
		t.Errorf("the data folder is %q, the volume %q", values["REEVE_DATA_DIR"], volume)
	}
	if engine := values["REEVE_ENGINE_TOFU"]; path.Dir(engine)+"/" != shipped.all("COPY")[0].words[2] {
		t.Errorf("the engine is looked for at %q, the programs are put elsewhere", engine)
	}
	port := shipped.the(t, "EXPOSE").rest
	if !strings.Contains(readTree(t, "internal/config/config.go"), `default:"127.0.0.1:`+port+`"`) {
		t.Errorf("EXPOSE %s is not the port of the default address", port)
	}
}

func TestDockerfileParserJoinsLines(t *testing.T) {
	t.Parallel()
	got := parseDockerfile(t, "# a comment\nFROM a AS b\nRUN one \\\n # inside\n two\ncopy x/ y/\n")
	want := []stage{{image: "a", instructions: []instruction{
		{3, "RUN", []string{"one", "two"}, "one  two"},
		{6, "COPY", []string{"x/", "y/"}, "x/ y/"},
	}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(stage{}, instruction{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
