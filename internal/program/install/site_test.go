package install_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/internal/program/install"
	"github.com/stackreeve/stackreeve/internal/program/programtest"
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
