package install_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/internal/program/install"
	"github.com/stackreeve/stackreeve/schema"
)

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
