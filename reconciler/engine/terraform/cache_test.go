package terraform_test

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stackreeve/stackreeve/internal/tool"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
	"github.com/stackreeve/stackreeve/schema"
)

// Without the lock a third of cold parallel inits on one cache fail.
func TestEightColdInitsShareAProviderCache(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, first *bench) {
		cache, config := filepath.Join(t.TempDir(), "providers"), tooltest.CLIConfig(t)
		var all sync.WaitGroup
		for range 8 {
			b := newBench(t, first.Task.Program)
			b.Task.Env["TF_CLI_CONFIG_FILE"], b.Task.ProviderCache = config, cache
			b.Module(map[string]string{"main.tf": "resource \"random_pet\" \"a\" {}\nresource \"null_resource\" \"n\" {}\n"})
			all.Go(func() {
				r := b.Driver.Plan(t.Context(), b.Task, b.PlanFile, b.Sink)
				if r.Failure != nil {
					t.Error(r.Failure.Text)
				} else if r.Plan.Counts.Create != 2 {
					t.Errorf("counts = %+v", r.Plan.Counts)
				}
			})
		}
		all.Wait()
		if found, err := filepath.Glob(filepath.Join(cache, "*", "*", "random")); err != nil || len(found) != 1 {
			t.Errorf("the cache was not used: %v, %v", found, err)
		}
	})
}

// packed is a mirror of the provider random alone, as registries have it: in an archive.
// From an unpacked one the cache gets links.
type packed struct {
	testing.TB
	config   string
	archive  string
	provider []byte
	address  string
}

func newPacked(t testing.TB, p schema.Provisioner) *packed {
	t.Helper()
	m := &packed{TB: t, address: "registry.terraform.io/hashicorp/random"}
	if p == schema.OpenTofu {
		m.address = "registry.opentofu.org/hashicorp/random"
	}
	found, err := filepath.Glob(filepath.Join(filepath.Dir(tooltest.CLIConfig(t)), "mirror", m.address, "*", "*", "*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if m.provider, err = os.ReadFile(found[0]); err != nil {
		t.Fatal(err)
	}
	platform := filepath.Dir(found[0])
	version := filepath.Base(filepath.Dir(platform))
	dir := t.TempDir()
	m.config = filepath.Join(dir, "packed.tfrc")
	m.archive = filepath.Join(dir, "mirror", m.address, "terraform-provider-random_"+version+"_"+filepath.Base(platform)+".zip")
	if err := os.MkdirAll(filepath.Dir(m.archive), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := tool.WriteCLIConfig(m.config, filepath.Join(dir, "mirror")); err != nil {
		t.Fatal(err)
	}
	return m
}

// pack writes the archive with some of the provider in it, and the checksum of all.
func (m *packed) pack(some []byte) {
	m.Helper()
	file, err := os.Create(m.archive)
	if err != nil {
		m.Fatal(err)
	}
	defer file.Close()
	w := zip.NewWriter(file)
	h := &zip.FileHeader{Name: "terraform-provider-random_v3.6.0", Method: zip.Store, CRC32: crc32.ChecksumIEEE(m.provider),
		CompressedSize64: uint64(len(some)), UncompressedSize64: uint64(len(some))}
	h.SetMode(0o755)
	entry, err := w.CreateRaw(h)
	if err != nil {
		m.Fatal(err)
	}
	if _, err := entry.Write(some); err != nil {
		m.Fatal(err)
	}
	if err := w.Close(); err != nil {
		m.Fatal(err)
	}
}

// stack is one that takes its provider from the mirror and the cache.
func (m *packed) stack(first *bench, cache string, more map[string]string) *bench {
	m.Helper()
	b := newBench(m, first.Task.Program)
	b.Task.Env["TF_CLI_CONFIG_FILE"], b.Task.ProviderCache = m.config, cache
	files := map[string]string{"main.tf": "resource \"random_pet\" \"a\" {}\n"}
	for name, text := range more {
		files[name] = text
	}
	b.Module(files)
	return b
}

func (b *bench) plans() {
	b.Helper()
	if r := b.Driver.Plan(b.Context(), b.Task, b.PlanFile, b.Sink); r.Failure != nil {
		b.Fatal(r.Failure.Text)
	} else if r.Plan.Counts.Create != 1 {
		b.Errorf("counts = %+v", r.Plan.Counts)
	}
}

// Engines unpack in place and take whatever is there: what an init left that ended in the
// middle failed every stack of the data folder until a person emptied the cache.
func TestHalfAProviderDoesNotStayInTheCache(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, first *bench) {
		m, cache := newPacked(t, first.Task.Program.Provisioner), filepath.Join(t.TempDir(), "providers")
		m.pack(m.provider[:len(m.provider)/4])
		b := m.stack(first, cache, nil)
		if r := b.Driver.Plan(t.Context(), b.Task, b.PlanFile, b.Sink); r.Failure == nil || !strings.Contains(r.Failure.Text, "checksum error") {
			t.Fatalf("%+v", r.Failure)
		}
		half, err := filepath.Glob(filepath.Join(cache, m.address, "*", "*", "terraform-provider-*"))
		if err != nil {
			t.Fatal(err)
		}
		if half == nil {
			// OpenTofu sees it before it unpacks; this is what it leaves when it is killed.
			half = []string{filepath.Join(cache, m.address, "3.6.0", runtime.GOOS+"_"+runtime.GOARCH, "terraform-provider-random_v3.6.0")}
			if err := errors.Join(os.MkdirAll(filepath.Dir(half[0]), 0o700), os.WriteFile(half[0], m.provider[:len(m.provider)/4], 0o700)); err != nil { //nolint:gosec // G306: a program
				t.Fatal(err)
			}
		}
		m.pack(m.provider)
		m.stack(first, cache, nil).plans()
		whole, err := os.Stat(half[0])
		if err != nil || whole.Size() != int64(len(m.provider)) {
			t.Fatalf("%v, %v", whole, err)
		}
		// What was whole before an init that fails stays.
		bad := m.stack(first, cache, map[string]string{"more.tf": "terraform {\n  required_providers {\n    none = { source = \"example.com/no/such\" }\n  }\n}\n"})
		if r := bad.Driver.Plan(t.Context(), bad.Task, bad.PlanFile, bad.Sink); r.Failure == nil {
			t.Fatal("it was planned")
		}
		m.stack(first, cache, nil).plans()
		if now, err := os.Stat(half[0]); err != nil || !os.SameFile(whole, now) {
			t.Errorf("the provider was unpacked again: %v", err)
		}
	})
}

// Whoever writes a module on another platform has its checksums in the lock file, and those
// of all archives. The first stack could download; the next one was refused what was there.
func TestALockFileOfAnotherPlatformIsNoHindrance(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, first *bench) {
		m, cache := newPacked(t, first.Task.Program.Provisioner), filepath.Join(t.TempDir(), "providers")
		m.pack(m.provider)
		b, err := os.ReadFile(m.archive)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		lock := "provider \"" + m.address + "\" {\n  version = \"3.6.0\"\n  hashes = [\n    \"h1:I8MBeauYA8J8yheLJ8oSMWqB0kovn16dF/wKZ1QTdkk=\",\n    \"zh:" + hex.EncodeToString(sum[:]) + "\",\n  ]\n}\n"
		files := map[string]string{".terraform.lock.hcl": lock}
		m.stack(first, cache, files).plans()
		second := m.stack(first, cache, files)
		second.plans()
		second.Module(map[string]string{"main.tf": "resource \"random_pet\" \"b\" {}\n", ".terraform.lock.hcl": lock})
		second.plans()
		// A file that names no such archive is none that is got round.
		wrong := m.stack(first, cache, map[string]string{".terraform.lock.hcl": strings.Replace(lock, "zh:", "zh:00", 1)})
		if r := wrong.Driver.Plan(t.Context(), wrong.Task, wrong.PlanFile, wrong.Sink); r.Failure == nil || !strings.Contains(r.Failure.Text, "checksums") {
			t.Errorf("%+v", r.Failure)
		}
	})
}
