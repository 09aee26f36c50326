package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/seal"
)

func setup(t *testing.T) (*seal.Key, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.txt")
	k, err := seal.OpenOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	return k, path
}

func TestKeyFileIsMadeOnceAndPrivate(t *testing.T) {
	t.Parallel()
	k, path := setup(t)
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	again, err := seal.OpenOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{k.Identity(), k.Recipient(), k.Hash([]byte("x"))}, []string{again.Identity(), again.Recipient(), again.Hash([]byte("x"))}); diff != "" {
		t.Errorf("another key the second time (-first +second):\n%s", diff)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("something was left beside the key file: %v, %v", entries, err)
	}
}

func TestProcessesThatMakeTheKeyAtOnceShareIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.txt")
	got := make([]string, 16)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			k, err := seal.OpenOrCreate(path)
			if err != nil {
				t.Error(err)
				return
			}
			got[i] = k.Identity()
		})
	}
	wg.Wait()
	for _, id := range got {
		if id != got[0] {
			t.Fatal("two identities")
		}
	}
}

func TestWhatIsSealedOpensWithTheSameKeyOnly(t *testing.T) {
	t.Parallel()
	k, _ := setup(t)
	other, _ := setup(t)
	for _, clear := range [][]byte{nil, []byte("hunter2"), bytes.Repeat([]byte{0, 0xff}, 1<<17)} {
		sealed, err := k.Seal(clear)
		if err != nil {
			t.Fatal(err)
		}
		if len(clear) > 0 && bytes.Contains(sealed, clear) {
			t.Error("the clear text is in what was sealed")
		}
		got, err := k.Open(sealed)
		if err != nil || !bytes.Equal(got, clear) {
			t.Errorf("opened %d bytes of %d: %v", len(got), len(clear), err)
		}
		if _, err := other.Open(sealed); err == nil {
			t.Error("another key opened it")
		}
		sealed[len(sealed)-1] ^= 1
		if _, err := k.Open(sealed); err == nil {
			t.Error("a changed byte went unseen")
		}
	}
}

func TestSealedValuesAreReadByAge(t *testing.T) {
	t.Parallel()
	k, path := setup(t)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ids, err := age.ParseIdentities(f)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := k.Seal([]byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), ids...)
	if err != nil {
		t.Fatal(err)
	}
	var clear bytes.Buffer
	if _, err := clear.ReadFrom(r); err != nil || clear.String() != "hunter2" {
		t.Errorf("%q, %v", clear.String(), err)
	}
}

func TestHashesAreKeyed(t *testing.T) {
	t.Parallel()
	k, _ := setup(t)
	other, _ := setup(t)
	a, b := k.Hash([]byte("a")), k.Hash([]byte("b"))
	if a == b || a == other.Hash([]byte("a")) || a != k.Hash([]byte("a")) {
		t.Error("a hash depends on value and key, and on nothing else")
	}
	if !strings.HasPrefix(a, "hmac:") || len(a) != len("hmac:")+64 {
		t.Errorf("hash %q", a)
	}
	if strings.Contains(k.Identity(), string(k.HashKey())) || len(k.HashKey()) != 32 {
		t.Error("the hash key is derived, 32 bytes")
	}
}

func TestPassphrasesAreForOneUse(t *testing.T) {
	t.Parallel()
	k, _ := setup(t)
	other, _ := setup(t)
	get := func(k *seal.Key, use string) string {
		p, err := k.Passphrase(use)
		if err != nil || len(p) != 43 {
			t.Fatalf("passphrase of %d characters, %v", len(p), err)
		}
		return p
	}
	a := get(k, "a")
	if a != get(k, "a") || a == get(k, "b") || a == get(other, "a") {
		t.Error("a passphrase depends on key and use, and on nothing else")
	}
	if strings.Contains(k.Identity(), a) {
		t.Error("it is a part of the identity")
	}
}

func TestKeyFileThatIsNotSafeIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil  func(t *testing.T, path string)
		unsafe bool
	}{
		"others may read":      {func(t *testing.T, p string) { must(t, os.Chmod(p, 0o640)) }, true},
		"everybody may write":  {func(t *testing.T, p string) { must(t, os.Chmod(p, 0o602)) }, true},
		"empty":                {func(t *testing.T, p string) { must(t, os.Truncate(p, 0)) }, false},
		"cut off":              {func(t *testing.T, p string) { must(t, os.Truncate(p, 120)) }, false},
		"a folder":             {func(t *testing.T, p string) { must(t, os.Remove(p)); must(t, os.Mkdir(p, 0o700)) }, false},
		"link to nowhere":      {func(t *testing.T, p string) { must(t, os.Remove(p)); must(t, os.Symlink("nowhere", p)) }, false},
		"two identities in it": {func(t *testing.T, p string) { double(t, p) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, path := setup(t)
			c.spoil(t, path)
			_, err := seal.OpenOrCreate(path)
			if err == nil || errors.Is(err, seal.ErrUnsafe) != c.unsafe {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), k.Identity()[20:]) {
				t.Errorf("the error names the file and not the key: %v", err)
			}
		})
	}
}

func TestKeyNeverPrints(t *testing.T) {
	t.Parallel()
	k, _ := setup(t)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		_, _ = fmt.Fprintf(&out, verb, k)
		_, _ = fmt.Fprintf(&out, verb, struct{ Key *seal.Key }{k})
	}
	must(t, json.NewEncoder(&out).Encode(map[string]any{"key": k}))
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", k)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", k)
	for _, secret := range []string{k.Identity(), k.Identity()[20:30], fmt.Sprintf("%x", k.HashKey()), fmt.Sprintf("%d", k.HashKey())} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the key is in %s", out.String())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func double(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(b, b...), 0o600))
}
