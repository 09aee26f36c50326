package install_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/internal/program/install"
	"github.com/stackreeve/stackreeve/schema"
)

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
		"404":     {func(s *site, archive, _, _ string) { delete(s.files, archive) }, "404 Not Found: there is no such version, or not for this machine"},
		"nothing": {func(s *site, _, _, _ string) { clear(s.files) }, "404 Not Found: there is no such version, or not for this machine"},
		"a page to log in": {func(s *site, _, _, _ string) {
			s.serve = func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				_, _ = w.Write([]byte("<!DOCTYPE html><html>Who are you?</html>"))
				return true
			}
		}, "the answer is a web page, perhaps one to log in"},
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
		fails := func(o install.Options, says string) {
			t.Helper()
			got, err := install.Install(t.Context(), o, request(t, string(p)+"@1.11.4"))
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%+v, %v, expected %q", got, err, says)
			}
			if left := inside(t, root); left != nil {
				t.Errorf("left: %v", left)
			}
		}

		// A page for people instead of a file is no file of the release.
		redirect(archive, "/signin")
		fails(s.options(root), "/signin\": the answer is a web page")
		redirect(sums, "/signin")
		fails(s.options(root), "/signin\": the answer is a web page")
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
