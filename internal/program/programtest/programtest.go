// Package programtest gives tests real small programs that say of themselves which
// version of an engine they are, and count how often they are run.
package programtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// built is the program without a version, compiled once for a test binary.
var built = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "programtest-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	out := filepath.Join(dir, "engine")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", out,
		"github.com/stackreeve/stackreeve/internal/program/programtest/engine")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(said))
	}
	return os.ReadFile(out)
})

// Binary is the program of an engine of one version: bytes to put into an archive.
func Binary(t testing.TB, version string) []byte {
	t.Helper()
	b, err := built()
	if err != nil {
		t.Fatalf("build the program: %v", err)
	}
	return append(append([]byte{}, b...), "\n"+version...)
}

// Write puts the program at a path, whose last part is the engine's name.
func Write(t testing.TB, path, version string) {
	t.Helper()
	tooltest.WriteProgram(t, path, string(Binary(t, version)))
}

// Asked is how often the program at a path was run.
func Asked(t testing.TB, path string) int {
	t.Helper()
	b, err := os.ReadFile(path + ".asked")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return len(b)
}
