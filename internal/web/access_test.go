package web_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/web"
)

// through makes a request over the socket.
func (r *running) through(t *testing.T, method, path string, header map[string]string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
	}}
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // only the status counts
	return res.StatusCode, res.Header.Get("Content-Type")
}

// TestWhoMayDoWhat asks every route in every way to come in.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.write("sj_1", "log\n")
	fill := strings.NewReplacer("{number}", "7", "{id}", "sj_1", "{org}", "acme", "{env}", "dev", "{kind}", "Environment", "{name}", "main")

	const ok = 200
	// For each way in: what is answered to reading and to acting.
	ways := map[string]struct {
		header     map[string]string
		socket     bool
		read, acts int
	}{
		"no token":                     {nil, false, ok, 401},
		"read token":                   {map[string]string{"Authorization": "Bearer " + readCanary}, false, ok, 403},
		"write token":                  {map[string]string{"Authorization": "Bearer " + writeCanary}, false, ok, ok},
		"write token in lower case":    {map[string]string{"Authorization": "bearer " + writeCanary}, false, ok, ok},
		"unknown token":                {map[string]string{"Authorization": "Bearer nobody"}, false, 401, 401},
		"empty token":                  {map[string]string{"Authorization": "Bearer "}, false, 401, 401},
		"basic instead":                {map[string]string{"Authorization": "Basic " + writeCanary}, false, 401, 401},
		"token in a cookie":            {map[string]string{"Cookie": "token=" + writeCanary}, false, ok, 401},
		"localhost":                    {map[string]string{"Host": "localhost"}, false, ok, 401},
		"wrong host":                   {map[string]string{"Host": "evil.example"}, false, 421, 421},
		"wrong host with token":        {map[string]string{"Host": "evil.example:7468", "Authorization": "Bearer " + writeCanary}, false, 421, 421},
		"allowed host":                 {map[string]string{"Host": "Reeve.Example"}, false, 401, 401},
		"allowed host with token":      {map[string]string{"Host": "reeve.example", "Authorization": "Bearer " + writeCanary}, false, ok, ok},
		"through a proxy":              {map[string]string{"X-Forwarded-For": "203.0.113.9"}, false, 401, 401},
		"cross-site":                   {map[string]string{"Sec-Fetch-Site": "cross-site", "Authorization": "Bearer " + writeCanary}, false, 403, 403},
		"same-site is another site":    {map[string]string{"Sec-Fetch-Site": "same-site"}, false, 403, 403},
		"foreign origin":               {map[string]string{"Origin": "https://evil.example", "Authorization": "Bearer " + writeCanary}, false, 403, 403},
		"null origin":                  {map[string]string{"Origin": "null"}, false, 403, 403},
		"same origin":                  {map[string]string{"Sec-Fetch-Site": "same-origin"}, false, ok, 401},
		"typed into the address bar":   {map[string]string{"Sec-Fetch-Site": "none"}, false, ok, 401},
		"socket":                       {nil, true, ok, ok},
		"socket with an unknown token": {map[string]string{"Authorization": "Bearer nobody"}, true, ok, ok},
		"socket from a browser":        {map[string]string{"Origin": "https://evil.example"}, true, 403, 403},
	}
	routes := r.server.Routes()
	if len(routes) < 20 {
		t.Fatalf("only %d routes: %v", len(routes), routes)
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			for _, route := range routes {
				method, path, _ := strings.Cut(route, " ")
				want := way.read
				if method == "POST" {
					want = way.acts
				}
				if want == ok && strings.HasSuffix(path, "/restore") {
					want = 400 // it was let in, and says nothing of what is to be restored
				}
				if path == "/healthz" || path == "/readyz" && want == 401 && way.header["Authorization"] == "" {
					want = ok
				}
				var got int
				if way.socket {
					got, _ = r.through(t, method, fill.Replace(path), way.header)
				} else {
					res, body := do(t, method, r.url+fill.Replace(path), way.header, "")
					if got = res.StatusCode; got != ok {
						problemIn(t, res, body)
					}
					if (got == 401) != (res.Header.Get("WWW-Authenticate") != "") {
						t.Errorf("%s: WWW-Authenticate is %q with %d", route, res.Header.Get("WWW-Authenticate"), got)
					}
				}
				if got != want {
					t.Errorf("%s: got %d, want %d", route, got, want)
				}
			}
		})
	}
}

func TestRefusedActsNeverReachTheBackend(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, h := range []map[string]string{nil, {"Authorization": "Bearer " + readCanary}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}} {
		do(t, "POST", r.url+"/api/v1/jobs/sj_1/approve", h, `{"planDigest":"sha256:0123456789abcdef"}`)
		do(t, "POST", r.url+"/api/v1/repositories/config/poll", h, "")
		do(t, "POST", r.url+"/api/v1/resources/acme/dev/AwsVpc/main/restore", h, `{"backup":"b","reason":"r"}`)
	}
	if n := r.askedCount(); n != 0 {
		t.Errorf("the backend was asked %d times: %v", n, r.lastAsked())
	}
}

// TestOtherAddressesNeedAToken listens on all addresses, as a container does.
func TestOtherAddressesNeedAToken(t *testing.T) {
	t.Parallel()
	r := start(t)
	ln, err := web.Listen("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.server.ServeTCP(ctx, ln) }()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	url := "http://127.0.0.1:" + port
	write := map[string]string{"Authorization": "Bearer " + writeCanary}
	foreign := maps.Clone(write)
	foreign["Host"] = "evil.example"
	got := map[string]int{}
	for name, c := range map[string]struct {
		path   string
		header map[string]string
	}{
		"healthz": {"/healthz", nil}, "healthz under any name": {"/healthz", map[string]string{"Host": "evil.example"}},
		"readyz": {"/readyz", nil}, "metrics": {"/metrics", nil}, "read": {"/api/v1/jobs", nil},
		"metrics with token": {"/metrics", map[string]string{"Authorization": "Bearer " + readCanary}},
		"read with token":    {"/api/v1/jobs", write}, "read with token for a foreign host": {"/api/v1/jobs", foreign},
	} {
		res, _ := do(t, "GET", url+c.path, c.header, "")
		got[name] = res.StatusCode
	}
	want := map[string]int{"healthz": 200, "healthz under any name": 200, "readyz": 200, "metrics": 401, "read": 401,
		"metrics with token": 200, "read with token": 200, "read with token for a foreign host": 421}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("status (-want +got):\n%s", d)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAProbeNeedsNoTokenAndLearnsOneWord asks as Kubernetes does: by the pod's address, without a token.
func TestAProbeNeedsNoTokenAndLearnsOneWord(t *testing.T) {
	t.Parallel()
	const why = "the store says canary-detail"
	var ready atomic.Bool
	r := start(t, func(o *web.Options) {
		o.Ready = func(context.Context) error {
			if ready.Load() {
				return nil
			}
			return errors.New(why)
		}
	})
	ln, err := web.Listen("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.server.ServeTCP(ctx, ln) }()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	url := "http://127.0.0.1:" + port + "/readyz"
	for name, h := range map[string]map[string]string{"by address": {"Host": "10.0.0.7:7468"}, "by name": {"Host": "reeve.example"},
		"through a proxy": {"X-Forwarded-For": "10.0.0.7"}} {
		if res, body := do(t, "GET", url, h, ""); res.StatusCode != 503 || body != "unready\n" {
			t.Errorf("%s: %s %q", name, res.Status, body)
		}
	}
	res, body := do(t, "GET", url, map[string]string{"Authorization": "Bearer " + readCanary}, "")
	if p := problemIn(t, res, body); p.Status != 503 || p.Detail != why {
		t.Errorf("with a token: %+v", p)
	}
	if res, body := do(t, "GET", url, map[string]string{"Authorization": "Bearer wrong"}, ""); res.StatusCode != 401 || strings.Contains(body, why) {
		t.Errorf("with a wrong token: %s %q", res.Status, body)
	}
	if res, _ := do(t, "POST", url, nil, ""); res.StatusCode != 401 {
		t.Errorf("an act: %s", res.Status)
	}
	ready.Store(true)
	if res, body := do(t, "GET", url, nil, ""); res.StatusCode != 200 || body != "ready\n" {
		t.Errorf("when ready: %s %q", res.Status, body)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAccessCanBeReplacedWhileItServes(t *testing.T) {
	t.Parallel()
	r := start(t)
	old := r.client(t, api.Options{Token: config.NewSecret(writeCanary)})
	if _, err := old.Cancel(t.Context(), api.Answer{Job: "sj_1"}); err != nil {
		t.Fatal(err)
	}
	r.server.SetAccess(web.Access{Tokens: []web.Token{{Name: "new", Secret: config.NewSecret("another-token-0123456789"), Role: config.RoleWrite}}})
	if _, err := old.Cancel(t.Context(), api.Answer{Job: "sj_1"}); err == nil {
		t.Error("a token that was taken away still works")
	}
	if _, err := r.client(t, api.Options{Token: config.NewSecret("another-token-0123456789")}).Cancel(t.Context(), api.Answer{Job: "sj_1"}); err != nil {
		t.Errorf("the new token does not work: %v", err)
	}
}

func TestTokensAreSeenNowhere(t *testing.T) {
	t.Parallel()
	r := start(t)
	var seen strings.Builder
	for _, token := range []string{readCanary, writeCanary, "canary-wrong-0123456789"} {
		h := map[string]string{"Authorization": "Bearer " + token}
		for _, p := range []string{"/api/v1/version", "/api/v1/jobs?limit=x", "/nothing", "/metrics", "/api/v1/jobs/sj_0"} {
			_, body := do(t, "GET", r.url+p, h, "")
			seen.WriteString(body)
		}
		_, body := do(t, "POST", r.url+"/api/v1/jobs/sj_1/approve", h, `{"planDigest":"x","token":"canary-body"}`)
		seen.WriteString(body)
		c := r.client(t, api.Options{Token: config.NewSecret(token)})
		if _, err := c.Job(t.Context(), "sj_0"); err != nil {
			seen.WriteString(err.Error())
		}
		gone := api.NewClient(api.Options{URL: "http://127.0.0.1:1", Token: config.NewSecret(token)})
		if _, err := gone.Job(t.Context(), "sj_0"); err != nil {
			seen.WriteString(err.Error())
		}
	}
	bad := api.NewClient(api.Options{URL: "http://ada:canary-url@127.0.0.1:1"})
	_, err := bad.Job(t.Context(), "sj_0")
	if err == nil {
		t.Error("a URL with a password was taken")
	} else {
		seen.WriteString(err.Error())
	}
	r.stop()
	seen.WriteString(r.log.String())
	if i := strings.Index(seen.String(), "canary"); i >= 0 {
		t.Errorf("a token is in: …%s…", seen.String()[max(0, i-100):min(len(seen.String()), i+40)])
	}
}
