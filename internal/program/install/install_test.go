package install_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/internal/program/install"
	"github.com/stackreeve/stackreeve/internal/program/programtest"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi/language"
	"github.com/stackreeve/stackreeve/schema"
)

// site serves releases as their makers do, below /terraform, /tofu and /pulumi.
type site struct {
	testing.TB
	server *httptest.Server
	key    *openpgp.Entity
	public string

	mu    sync.Mutex // guards what follows
	files map[string][]byte
	asked []string
	// serve, when set, answers instead of the files.
	serve func(w http.ResponseWriter, r *http.Request, file []byte) bool
}

// signer signs all releases.
var signer = sync.OnceValues(func() (*openpgp.Entity, error) {
	return openpgp.NewEntity("Releases", "", "releases@example.com", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
})

func newSite(t testing.TB) *site {
	t.Helper()
	key, err := signer()
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err == nil {
		err = errors.Join(key.Serialize(w), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &site{TB: t, key: key, public: public.String(), files: map[string][]byte{}}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	file, there := s.files[r.URL.Path]
	s.asked = append(s.asked, r.URL.Path)
	serve := s.serve
	s.mu.Unlock()
	if serve != nil && serve(w, r, file) {
		return
	}
	if !there {
		http.NotFound(w, r)
		return
	}
	switch path.Ext(r.URL.Path) {
	case ".json":
		w.Header().Set("Content-Type", "application/json")
	case ".zip":
		w.Header().Set("Content-Type", "application/zip")
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(file)))
	_, _ = w.Write(file)
}

// archives counts the archives that were asked for.
func (s *site) archives() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.asked {
		if strings.HasSuffix(p, ".zip") || strings.HasSuffix(p, ".tar.gz") {
			n++
		}
	}
	return n
}

func (s *site) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func (s *site) put(name string, b []byte) { s.files[name] = b }

// options install from the site into a folder.
func (s *site) options(root string) install.Options {
	o := install.Options{Root: root, Mirrors: map[schema.Provisioner]string{}, Keys: map[schema.Provisioner]string{schema.Terraform: s.public, schema.OpenTofu: s.public}}
	for _, p := range program.Names() {
		o.Mirrors[p] = s.server.URL + "/" + string(p)
	}
	return o
}

func (s *site) sign(b []byte) []byte {
	s.Helper()
	var out bytes.Buffer
	if err := openpgp.DetachSign(&out, s.key, bytes.NewReader(b), nil); err != nil {
		s.Fatal(err)
	}
	return out.Bytes()
}

func sumLine(b []byte, name string) []byte {
	sum := sha256.Sum256(b)
	return []byte(hex.EncodeToString(sum[:]) + "  " + name + "\n")
}

// tarball is a .tar.gz with files, in order: name, content, name, content, …
func tarball(t testing.TB, files ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for i := 0; i+1 < len(files); i += 2 {
		content := files[i+1].([]byte)
		mode := int64(0o755)
		if strings.HasSuffix(files[i].(string), ".md") {
			mode = 0o644
		}
		if err := w.WriteHeader(&tar.Header{Name: files[i].(string), Mode: mode, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// names are where the archive of a release is, its checksums and, "" for none, what signs
// those.
func names(p schema.Provisioner, number string) (archive, sums, signature string) {
	switch p {
	case schema.Terraform:
		base := "/terraform/terraform/" + number + "/terraform_" + number + "_"
		return base + runtime.GOOS + "_" + runtime.GOARCH + ".zip", base + "SHA256SUMS", base + "SHA256SUMS.sig"
	case schema.OpenTofu:
		base := "/tofu/v" + number + "/tofu_" + number + "_"
		return base + runtime.GOOS + "_" + runtime.GOARCH + ".tar.gz", base + "SHA256SUMS", base + "SHA256SUMS.gpgsig"
	}
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	return "/pulumi/pulumi-v" + number + "-" + runtime.GOOS + "-" + arch + ".tar.gz", "/pulumi/pulumi-" + number + "-checksums.txt", ""
}

// release publishes versions of an engine, whose programs say that they are that.
func (s *site) release(p schema.Provisioner, list ...string) {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	index := map[string]any{}
	var tofu []map[string]string
	for _, number := range list {
		archive, sums, signature := names(p, number)
		binary := programtest.Binary(s, number)
		var b []byte
		switch p {
		case schema.Terraform:
			var out bytes.Buffer
			z := zip.NewWriter(&out)
			w, err := z.CreateHeader(&zip.FileHeader{Name: "terraform", Method: zip.Store})
			if err == nil {
				_, err = w.Write(binary)
			}
			if err = errors.Join(err, z.Close()); err != nil {
				s.Fatal(err)
			}
			b = out.Bytes()
		case schema.OpenTofu:
			b = tarball(s, "README.md", []byte("read me"), "tofu", binary, "../../evil", []byte("x"), "etc/other", []byte("x"))
		case schema.Pulumi:
			b = tarball(s, "pulumi/pulumi", binary, "pulumi/pulumi-language-yaml", binary)
		}
		s.put(archive, b)
		s.put(sums, append(sumLine([]byte("another"), "another_archive"), sumLine(b, path.Base(archive))...))
		if signature != "" {
			s.put(signature, s.sign(s.files[sums]))
		}
		version := map[string]any{"name": "terraform", "version": number, "shasums": path.Base(sums), "shasums_signature": path.Base(signature),
			"builds": []map[string]string{{"name": "terraform", "version": number, "os": runtime.GOOS, "arch": runtime.GOARCH,
				"filename": path.Base(archive), "url": "https://releases.hashicorp.com" + strings.TrimPrefix(archive, "/terraform")}}}
		index[number] = version
		tofu = append(tofu, map[string]string{"id": number})
		if p == schema.Terraform {
			s.json("/terraform/terraform/"+number+"/index.json", version)
		}
	}
	s.json("/terraform/terraform/index.json", map[string]any{"name": "terraform", "versions": index}, p == schema.Terraform)
	s.json("/tofu/api.json", map[string]any{"versions": tofu}, p == schema.OpenTofu)
	s.json("/pulumi/versions.json", list, p == schema.Pulumi)
}

func (s *site) json(name string, v any, when ...bool) {
	s.Helper()
	if slices.Contains(when, false) {
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		s.Fatal(err)
	}
	s.put(name, b)
}

// inside lists the files below a root, without the lock and without folders.
func inside(t testing.TB, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".lock" || strings.HasSuffix(p, ".asked") {
			return err
		}
		rel, err := filepath.Rel(root, p)
		out = append(out, rel)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

func request(t testing.TB, s string) install.Request {
	t.Helper()
	r, err := install.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// forEngines runs a test with each engine's way of being published.
func forEngines(t *testing.T, f func(t *testing.T, p schema.Provisioner, s *site, root string)) {
	for _, p := range program.Names() {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			f(t, p, newSite(t), filepath.Join(t.TempDir(), "engines"))
		})
	}
}

func TestTheNewestVersionThatFitsIsInstalledAndFound(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, p schema.Provisioner, s *site, root string) {
		s.release(p, "1.9.8", "1.11.4", "1.11.10", "1.12.0-rc1")
		o := s.options(root)
		var told []install.Progress
		o.Progress = func(x install.Progress) { told = append(told, x) }
		for arg, want := range map[string]string{"": "1.11.10", "@~> 1.9.0": "1.9.8", "@1.11.4": "1.11.4", "@v1.11.4": "1.11.4", "@= 1.11.4": "1.11.4", "@1.12.0-rc1": "1.12.0-rc1"} {
			got, err := install.Install(t.Context(), o, request(t, string(p)+arg))
			if err != nil {
				t.Fatalf("%s: %v", arg, err)
			}
			if got.Path != program.InstalledPath(root, p, want) || got.Version != want {
				t.Errorf("%s: %+v", arg, got)
			}
		}
		inv, err := program.NewFinder("").Find(t.Context(), program.Options{Installed: root})
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, f := range inv.Found {
			found = append(found, f.Program.String()+" "+string(f.Origin))
		}
		name := string(p)
		if diff := cmp.Diff([]string{name + " 1.11.10 installed", name + " 1.11.4 installed", name + " 1.9.8 installed", name + " 1.12.0-rc1 installed"}, found); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if !slices.ContainsFunc(told, func(x install.Progress) bool {
			return x.Done > 0 && x.Done == x.Total && strings.HasPrefix(x.What, "download ")
		}) {
			t.Errorf("progress: %v", told)
		}
		for _, file := range inside(t, root) {
			if strings.Contains(file, "evil") || strings.Contains(file, "other") || strings.HasPrefix(file, ".") {
				t.Errorf("%s is there", file)
			}
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(root), "evil")); err == nil {
			t.Error("an archive wrote outside of its folder")
		}
		if hosts := language.Hosts(inv.Found[0].Program, ""); p == schema.Pulumi && (len(hosts) != 1 || hosts[0].Runtime != "yaml") {
			t.Errorf("language hosts: %v", hosts)
		}
	})
}

func TestNoNetworkIsUsedWhenTheVersionIsThere(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, p schema.Provisioner, s *site, root string) {
		s.release(p, "1.11.4")
		if _, err := install.Install(t.Context(), s.options(root), request(t, string(p)+"@1.11.4")); err != nil {
			t.Fatal(err)
		}
		before := s.requests()
		for _, arg := range []string{"@1.11.4", "@~> 1.9"} {
			got, err := install.Install(t.Context(), s.options(root), request(t, string(p)+arg))
			if err != nil || !got.Already || got.Version != "1.11.4" {
				t.Errorf("%s: %+v, %v", arg, got, err)
			}
		}
		if n := s.requests() - before; n != 0 {
			t.Errorf("%d requests", n)
		}
		// A program that does not work is not there.
		path := program.InstalledPath(root, p, "1.11.4")
		if err := os.Truncate(path, 100); err != nil {
			t.Fatal(err)
		}
		if got, err := install.Install(t.Context(), s.options(root), request(t, string(p)+"@1.11.4")); err != nil || got.Already {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestWhatIsNotWhatTheReleaseSaysIsNotInstalled(t *testing.T) {
	t.Parallel()
	cut := func(w http.ResponseWriter, _ *http.Request, file []byte) bool {
		w.Header().Set("Content-Type", "application/zip")
		w.Header().Set("Content-Length", fmt.Sprint(len(file)))
		_, _ = w.Write(file[:len(file)/2])
		return true
	}
	for name, c := range map[string]struct {
		spoil func(s *site, archive, sums, signature string)
		says  string // in the error
	}{
		"wrong checksum":    {func(s *site, archive, _, _ string) { s.files[archive] = append(s.files[archive], 'x') }, "checksum does not match"},
		"another signature": {func(s *site, _, sums, signature string) { s.files[signature] = s.sign([]byte("something else")) }, "signature"},
		"no signature":      {func(s *site, _, _, signature string) { delete(s.files, signature) }, "404"},
		"no checksums":      {func(s *site, _, sums, _ string) { delete(s.files, sums) }, "404"},
		"no line": {func(s *site, archive, sums, signature string) {
			s.files[sums] = sumLine(nil, "x")
			s.files[signature] = s.sign(s.files[sums])
		}, "checksum"},
		"404":             {func(s *site, archive, _, _ string) { delete(s.files, archive) }, "404"},
		"truncated":       {func(s *site, archive, _, _ string) { s.serve = only(archive, cut) }, "EOF"},
		"another version": {func(s *site, archive, sums, signature string) { s.swap(archive, sums, signature, "9.9.9") }, "version 9.9.9"},
		"something else":  {func(s *site, archive, sums, signature string) { s.swap(archive, sums, signature, "") }, "is it an engine"},
		"a server in trouble": {func(s *site, archive, _, _ string) {
			s.serve = only(archive, func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				http.Error(w, "later", http.StatusServiceUnavailable)
				return true
			})
		}, "503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEngines(t, func(t *testing.T, p schema.Provisioner, s *site, root string) {
				archive, sums, signature := names(p, "1.11.4")
				if signature == "" && strings.Contains(name, "signature") {
					return // Pulumi's checksums have none
				}
				s.release(p, "1.11.4")
				c.spoil(s, archive, sums, signature)
				got, err := install.Install(t.Context(), s.options(root), request(t, string(p)+"@1.11.4"))
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "install "+string(p)+" 1.11.4: ") {
					t.Errorf("%+v, %v, expected %q", got, err, c.says)
				}
				if left := inside(t, root); left != nil {
					t.Errorf("left: %v", left)
				}
				inv, err := program.NewFinder("").Find(t.Context(), program.Options{Installed: root})
				if err != nil || len(inv.Found)+len(inv.Broken) != 0 {
					t.Errorf("%v, %v", inv, err)
				}
			})
		})
	}
}

func TestRedirectsAreFollowedAsFarAsTheyCanBeTrusted(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, p schema.Provisioner, s *site, root string) {
		s.release(p, "1.11.4")
		archive, sums, _ := names(p, "1.11.4")
		s.put("/signin", []byte("<html>Who are you?</html>"))
		redirect := func(path, to string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.serve = only(path, func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
				http.Redirect(w, r, to, http.StatusFound)
				return true
			})
		}
		fails := func(o install.Options, says ...string) {
			t.Helper()
			got, err := install.Install(t.Context(), o, request(t, string(p)+"@1.11.4"))
			if err == nil || !slices.ContainsFunc(says, func(part string) bool { return strings.Contains(err.Error(), part) }) {
				t.Errorf("%+v, %v, expected %q", got, err, says)
			}
			if left := inside(t, root); left != nil {
				t.Errorf("left: %v", left)
			}
		}

		// A page for people instead of a file is no file of the release.
		redirect(archive, "/signin")
		fails(s.options(root), "checksum does not match", "content-type")
		redirect(sums, "/signin")
		fails(s.options(root), "no checksum of", "signature", "checksum") // whichever the file is needed for first
		redirect(archive, archive)
		fails(s.options(root), "redirected 10 times")

		// From where nobody can change anything to where anybody can.
		secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, s.server.URL+r.URL.Path, http.StatusFound)
		}))
		t.Cleanup(secure.Close)
		o := s.options(root)
		o.Mirrors = map[schema.Provisioner]string{p: secure.URL + "/" + string(p)}
		o.Client = secure.Client()
		fails(o, "redirects from https to http")

		// A file that only lies elsewhere is followed.
		s.put("/storage/"+path.Base(archive), s.files[archive])
		redirect(archive, "/storage/"+path.Base(archive))
		if got, err := install.Install(t.Context(), s.options(root), request(t, string(p)+"@1.11.4")); err != nil || got.Version != "1.11.4" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// only has f answer for one path.
func only(p string, f func(http.ResponseWriter, *http.Request, []byte) bool) func(http.ResponseWriter, *http.Request, []byte) bool {
	return func(w http.ResponseWriter, r *http.Request, file []byte) bool {
		return r.URL.Path == p && f(w, r, file)
	}
}

// swap puts the archive of a program of another version, with its checksums, in the
// place of a release.
func (s *site) swap(archive, sums, signature, number string) {
	s.Helper()
	other := newSite(s)
	other.key = s.key
	p := schema.Provisioner(strings.Split(archive, "/")[1])
	// The same release, made of another program: published under the number of this one.
	s.files[archive] = other.packed(p, number)
	s.files[sums] = sumLine(s.files[archive], path.Base(archive))
	if signature != "" {
		s.files[signature] = s.sign(s.files[sums])
	}
}

func (s *site) packed(p schema.Provisioner, number string) []byte {
	s.Helper()
	if number == "" {
		number = "\n"
	}
	s.release(p, "0.0.1")
	if p == schema.Terraform {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		w, err := z.CreateHeader(&zip.FileHeader{Name: "terraform", Method: zip.Store})
		if err == nil {
			_, err = w.Write(programtest.Binary(s, number))
		}
		if err = errors.Join(err, z.Close()); err != nil {
			s.Fatal(err)
		}
		return out.Bytes()
	}
	dir := ""
	if p == schema.Pulumi {
		dir = "pulumi/"
	}
	return tarball(s, dir+string(p), programtest.Binary(s, number))
}

func TestAnInstallThatIsCancelledLeavesNothing(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, p schema.Provisioner, s *site, root string) {
		s.release(p, "1.11.4")
		ctx, cancel := context.WithCancel(t.Context())
		archive, _, _ := names(p, "1.11.4")
		s.serve = only(archive, func(w http.ResponseWriter, r *http.Request, file []byte) bool {
			half(w, file)
			cancel()
			<-r.Context().Done()
			return true
		})
		if _, err := install.Install(ctx, s.options(root), request(t, string(p)+"@1.11.4")); !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
		if left := inside(t, root); left != nil {
			t.Errorf("left: %v", left)
		}
	})
}

// half sends one half of a file, and leaves the rest open.
func half(w http.ResponseWriter, file []byte) {
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Length", fmt.Sprint(len(file)))
	_, _ = w.Write(file[:len(file)/2])
	_ = http.NewResponseController(w).Flush()
}

func TestSeveralInstallsAtOnceWaitForOneAnother(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, p schema.Provisioner, s *site, root string) {
		s.release(p, "1.9.8", "1.11.4")
		var wg sync.WaitGroup
		for _, number := range []string{"1.9.8", "1.11.4", "1.11.4", "1.11.4"} {
			wg.Go(func() {
				if got, err := install.Install(t.Context(), s.options(root), request(t, string(p)+"@"+number)); err != nil || got.Version != number {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		wg.Wait()
		if n := s.archives(); n != 2 {
			t.Errorf("%d archives were downloaded", n)
		}
	})
}

// TestMain lets the test binary be an install that can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == "install" {
		p := schema.Provisioner(os.Args[2])
		key, err := os.ReadFile(os.Args[5])
		if err != nil {
			os.Exit(2)
		}
		_, err = install.Install(context.Background(), install.Options{Root: os.Args[3], Mirrors: map[schema.Provisioner]string{p: os.Args[4]},
			Keys: map[schema.Provisioner]string{p: string(key)}}, install.Request{Provisioner: p, Constraint: "1.11.4"})
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestAnInstallThatIsKilledInTheMiddleIsNoEngineAndIsClearedAway(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, p schema.Provisioner, s *site, root string) {
		s.release(p, "1.11.4")
		archive, _, _ := names(p, "1.11.4")
		reached := make(chan struct{})
		s.serve = only(archive, func(w http.ResponseWriter, r *http.Request, file []byte) bool {
			half(w, file)
			close(reached)
			<-r.Context().Done()
			return true
		})
		key := filepath.Join(t.TempDir(), "key.asc")
		if err := os.WriteFile(key, []byte(s.public), 0o600); err != nil {
			t.Fatal(err)
		}
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exe, "install", string(p), root, s.options(root).Mirrors[p], key)
		cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-reached:
		case <-time.After(time.Minute):
			t.Error("the archive was not asked for")
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		inv, err := program.NewFinder("").Find(t.Context(), program.Options{Installed: root})
		if err != nil || len(inv.Found)+len(inv.Broken) != 0 {
			t.Errorf("%v, %v", inv, err)
		}
		leftovers, err := filepath.Glob(filepath.Join(root, ".part-*"))
		if err != nil || len(leftovers) != 1 {
			t.Errorf("%v, %v: expected what the killed run was at", leftovers, err)
		}
		s.mu.Lock()
		s.serve = nil
		s.mu.Unlock()
		if got, err := install.Install(t.Context(), s.options(root), request(t, string(p)+"@1.11.4")); err != nil || got.Already {
			t.Errorf("%+v, %v", got, err)
		}
		if leftovers, _ = filepath.Glob(filepath.Join(root, ".part-*")); len(leftovers) != 0 {
			t.Errorf("left: %v", leftovers)
		}
	})
}

func TestWhatNobodyPublishesIsSaid(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, p schema.Provisioner, s *site, root string) {
		s.release(p, "1.9.8", "1.11.4")
		_, err := install.Install(t.Context(), s.options(root), request(t, string(p)+"@> 2"))
		if err == nil || !strings.Contains(err.Error(), "install "+string(p)+" > 2: none of the 2 published versions fits") {
			t.Errorf("err = %v", err)
		}
		s.server.Close()
		for _, arg := range []string{"", "@1.9.8"} {
			_, err = install.Install(t.Context(), s.options(root), request(t, string(p)+arg))
			if err == nil || !strings.Contains(err.Error(), "`engine.mirrors."+string(p)+"` names another address") {
				t.Errorf("with no network: %v", err)
			}
		}
	})
}

func TestWhatIsToBeInstalledIsReadStrictly(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"tofu": "tofu|", "opentofu@1.9": "tofu|1.9", "terraform@~> 1.9": "terraform|~> 1.9", "pulumi@>= 3.200, < 4": "pulumi|>= 3.200, < 4",
		"packer": `engine "packer": expected terraform, tofu or pulumi`, "tofu@newest": `version "newest": expected`, "tofu@": `version "": expected`,
	} {
		r, err := install.Parse(arg)
		got := string(r.Provisioner) + "|" + r.Constraint
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", arg, got, want)
		}
	}
}

// makers sends what is meant for the makers' own addresses to a site.
type makers struct {
	s *site
	// releases are the pages of Pulumi's releases, newest first.
	releases [][]string
	asked    []string
}

func (m *makers) RoundTrip(r *http.Request) (*http.Response, error) {
	m.asked = append(m.asked, r.URL.String())
	answer := func(v any) (*http.Response, error) {
		b, err := json.Marshal(v)
		if text, ok := v.(string); ok {
			b = []byte(text)
		}
		return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Request: r, ContentLength: int64(len(b)), Body: io.NopCloser(bytes.NewReader(b))}, err
	}
	to := ""
	switch name := r.URL.Host + r.URL.Path; {
	case r.URL.Host == "releases.hashicorp.com":
		to = "/terraform" + r.URL.Path
	case name == "get.opentofu.org/tofu/api.json":
		to = "/tofu/api.json"
	case strings.HasPrefix(name, "github.com/opentofu/opentofu/releases/download/"):
		to = "/tofu/" + strings.TrimPrefix(name, "github.com/opentofu/opentofu/releases/download/")
	case strings.HasPrefix(name, "get.pulumi.com/releases/sdk/"):
		to = "/pulumi/" + path.Base(name)
	case name == "www.pulumi.com/latest-version":
		return answer("1.11.10\n")
	case name == "api.github.com/repos/pulumi/pulumi/releases":
		page, err := strconv.Atoi(r.URL.Query().Get("page"))
		if err != nil || page > len(m.releases) {
			return answer([]any{})
		}
		var list []map[string]string
		for _, number := range m.releases[page-1] {
			list = append(list, map[string]string{"tag_name": "v" + number})
		}
		return answer(list)
	default:
		return nil, fmt.Errorf("%s is nobody's address", r.URL)
	}
	u, err := url.Parse(m.s.server.URL + to)
	if err != nil {
		return nil, err
	}
	there := r.Clone(r.Context())
	there.URL, there.Host = u, u.Host
	return http.DefaultTransport.RoundTrip(there)
}

func TestWithoutAMirrorTheMakersAreAsked(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, p schema.Provisioner, s *site, root string) {
		s.release(p, "1.9.8", "1.11.4", "1.11.10")
		m := &makers{s: s, releases: [][]string{{"1.11.10", "1.11.4"}, {"1.9.8"}}}
		o := s.options(root)
		o.Mirrors, o.Client = nil, &http.Client{Transport: m}
		for arg, want := range map[string]string{"": "1.11.10", "@~> 1.9.0": "1.9.8"} {
			if got, err := install.Install(t.Context(), o, request(t, string(p)+arg)); err != nil || got.Version != want {
				t.Errorf("%q: %+v, %v", arg, got, err)
			}
		}
		// The makers' own keys do not know what a stranger signed.
		o.Keys = nil
		_, err := install.Install(t.Context(), o, request(t, string(p)+"@1.11.4"))
		if p == schema.Pulumi {
			if err != nil {
				t.Errorf("err = %v", err)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), "signature") {
			t.Errorf("err = %v, expected that the signature is refused", err)
		}
	})
}
