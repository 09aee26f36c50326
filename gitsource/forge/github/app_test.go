package github_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/github"
)

func TestAnAppIsItsBotAndRenewsItsTokens(t *testing.T) {
	t.Parallel()
	w, site, _, n, head := setup(t)
	repo := site.AppRepository(t)
	me, err := repo.Self(t.Context())
	if diff := cmp.Diff(forge.User{Login: "reeve-app[bot]", Bot: true}, me); diff != "" || err != nil {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	w.Calls()
	c, err := repo.CreateComment(t.Context(), n, "hello")
	c.Author.ID = "" // an App is not told its own
	if err != nil || c.Author != me {
		t.Fatalf("got %+v, %v", c, err)
	}
	if diff := cmp.Diff(map[string]int{"GET": 1, "POST": 2}, w.Calls()); diff != "" { // installation; token and comment
		t.Errorf("(-want +got):\n%s", diff)
	}
	write := func(what string, more int) {
		t.Helper()
		if err := repo.SetStatus(t.Context(), head, forge.Status{Context: what, State: forge.Pending}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := w.Calls()["POST"]; got != 1+more {
			t.Errorf("%s: %d writes", what, got)
		}
	}
	write("the token is kept", 0)
	if err := w.Skip(t.Context(), 56*time.Minute); err != nil {
		t.Fatal(err)
	}
	write("it is renewed before its end", 1)
	w.RevokeInstallationTokens()
	write("it is renewed when it was revoked", 2) // refused, renewed, repeated
	if p, err := repo.Permission(t.Context(), "ada"); err != nil || p != forge.Write {
		t.Errorf("got %v, %v", p, err)
	}
}

func TestAnAppWithAnotherKeyIsForAPerson(t *testing.T) {
	t.Parallel()
	w, site, _, n, _ := setup(t)
	id, _ := w.App(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(other)})
	_, right := w.App(t)
	for name, opts := range map[string]github.AppOptions{
		"another key":          {ID: id, PrivateKey: key},
		"another id":           {ID: "7", PrivateKey: right},
		"no such installation": {ID: id, PrivateKey: right, Installation: 7},
	} {
		client := site.Client(t, nil)
		opts.APIURL, opts.HTTPClient, opts.Now = site.APIURL(), client, w.Now
		app, err := github.NewApp(opts)
		if err != nil {
			t.Fatal(err)
		}
		repo, err := github.New(github.Options{Repository: site.Name(), APIURL: site.APIURL(), HTTPClient: client, App: app})
		if err != nil {
			t.Fatal(err)
		}
		_, err = repo.CreateComment(t.Context(), n, "hello")
		var failed *forge.CallError
		if !errors.As(err, &failed) || failed.Class != forge.Person || errors.Is(err, forge.ErrUnknownOutcome) {
			t.Errorf("%s: %#v", name, err)
		}
		if said := fmt.Sprintf("%v %+v", err, err); strings.Contains(said, "eyJ") || strings.Contains(said, "PRIVATE") { // how a JWT begins
			t.Errorf("%s: the error tells the credential: %s", name, said)
		}
	}
	if said := site.Comments(t, n); len(said) != 0 {
		t.Errorf("comments %v", said)
	}
}

func TestLongTextIsACheckRunThatIsReplaced(t *testing.T) {
	t.Parallel()
	_, site, person, _, head := setup(t)
	if _, err := person.LongText(t.Context(), head, "reeve/plan", "text"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a personal token: %v", err)
	}
	repo := site.AppRepository(t)
	// Within both texts: 2,000 lines in a fence that must be closed and opened again.
	line := "+ " + strings.Repeat("é", 20) + "\n"
	long := "# Plan\n```diff\n" + strings.Repeat(line, 2000) + "```\nend\n"
	var urls []string
	for _, text := range []string{"short", long, long + strings.Repeat("more\n", 20_000)} {
		url, err := repo.LongText(t.Context(), head, "reeve/plan", text)
		if err != nil || !strings.HasPrefix(url, site.URL()+"/runs/") {
			t.Fatalf("got %q, %v", url, err)
		}
		urls = append(urls, url)
		runs := site.CheckRuns(t, head)["reeve/plan"]
		if len(runs) != 1 {
			t.Fatalf("%d check runs", len(runs))
		}
		got := runs[0]
		switch {
		case text == "short" && got != "short":
			t.Errorf("got %q", got)
		case text == long && (strings.Count(got, line) != 2000 || strings.Count(got, "```diff\n") != 2 || strings.Count(got, "\n```\n") != 2 || !strings.HasSuffix(got, "end\n")):
			t.Errorf("%d lines, %d fences begun, %d ended", strings.Count(got, line), strings.Count(got, "```diff\n"), strings.Count(got, "\n```\n"))
		case len(text) > 150_000 && !strings.HasSuffix(got, "*The rest is too long for a check run.*\n"):
			t.Errorf("a cut is not told: …%q", got[len(got)-100:])
		}
	}
	if urls[0] != urls[1] || urls[1] != urls[2] {
		t.Errorf("pages %v", urls)
	}
	if _, err := repo.LongText(t.Context(), strings.Repeat("a", 40), "reeve/plan", "x"); err == nil {
		t.Error("a commit that is not there")
	}
}

func TestAnAppIsSharedByCallsAtOnce(t *testing.T) {
	t.Parallel()
	w, site, _, n, _ := setup(t)
	repo := site.AppRepository(t)
	if _, err := repo.Self(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Calls()
	errs := make(chan error, 10)
	for range cap(errs) {
		go func() { _, err := repo.PullRequest(t.Context(), n); errs <- err }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := w.Calls()[http.MethodPost]; got != 1 {
		t.Errorf("%d tokens were made", got)
	}
}

func TestRepeatableWritesAreNamed(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/api/v3/repos/acme/live/statuses/abc":                true,
		"/repos/acme/live/issues/comments/7/reactions":        true,
		"/app/installations/7/access_tokens":                  true,
		"/repos/acme/live/issues/7/comments":                  false,
		"/repos/acme/live/hooks":                              false,
		"/repos/acme/live/check-runs":                         false,
		"/repos/statuses/x/issues/7/comments":                 false,
		"/repos/acme/live/issues/comments/7/reactions/8/more": false,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://ghe.example.com"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := github.Repeatable(req); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
