package gitea_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/gitea"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
)

const canary = "canary-5e1d9b7c0a42"

// against is an adapter whose server is a function.
func against(t *testing.T, serve http.HandlerFunc) *gitea.Repository {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	return adapter(t, server.URL, "acme/infra", canary)
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	token := func(context.Context) (string, error) { return canary, nil }
	for _, c := range []struct {
		name string
		o    gitea.Options
		want string
	}{
		{"no scheme", gitea.Options{URL: "git.example.com", Repository: "a/b", Token: token}, `"git.example.com", want one like https://git.example.com`},
		{"another scheme", gitea.Options{URL: "ssh://git.example.com", Repository: "a/b", Token: token}, "want one like"},
		{"nothing", gitea.Options{Repository: "a/b", Token: token}, "want one like"},
		{"credentials", gitea.Options{URL: "https://me:" + canary + "@git.example.com", Repository: "a/b", Token: token}, "no credentials"},
		{"credentials that cannot be read", gitea.Options{URL: "https://me:" + canary + "%@git.example.com", Repository: "a/b", Token: token}, "want one like"},
		{"a query", gitea.Options{URL: "https://git.example.com/?x=1", Repository: "a/b", Token: token}, "nothing after the path"},
		{"the API", gitea.Options{URL: "https://git.example.com/api/v1/", Repository: "a/b", Token: token}, "leave out /api/v1"},
		{"no owner", gitea.Options{URL: "https://git.example.com", Repository: "infra", Token: token}, "want owner/name"},
		{"too deep", gitea.Options{URL: "https://git.example.com", Repository: "a/b/c", Token: token}, "want owner/name"},
		{"no token", gitea.Options{URL: "https://git.example.com", Repository: "a/b"}, "no access token"},
	} {
		_, err := gitea.New(c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error tells the password: %v", c.name, err)
		}
	}
}

func TestASiteMayBeBelowAPath(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization"))
		fmt.Fprint(w, `{"id":3,"login":"reeve-bot"}`) //nolint:errcheck // a test's server
	}))
	t.Cleanup(server.Close)
	me, err := adapter(t, server.URL+"/git/", "acme/infra", " "+canary+"\n").Self(t.Context())
	if err != nil || me != (forge.User{Login: "reeve-bot", ID: "3"}) || asked.Load() != "GET /git/api/v1/user token "+canary {
		t.Errorf("%+v, %v, asked %v", me, err, asked.Load())
	}
}

func TestAccountsOfGiteaItselfAreBots(t *testing.T) {
	t.Parallel()
	r := against(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"id":1,"body":"by one who is gone","user":{"id":-1,"login":"Ghost"}},`+ //nolint:errcheck // a test's server
			`{"id":2,"body":"by automation","user":{"id":-2,"login":"gitea-actions"}},{"id":3,"body":"by nobody","user":null},{"id":4,"body":"x","user":{"id":9,"login":"ada"}}]`)
	})
	comments, err := r.Comments(t.Context(), 1, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var authors []forge.User
	for _, c := range comments {
		authors = append(authors, c.Author)
	}
	if diff := cmp.Diff([]forge.User{{Login: "Ghost", Bot: true}, {Login: "gitea-actions", Bot: true}, {Login: "Ghost", Bot: true}, {Login: "ada", ID: "9"}}, authors); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever answers, the token is in no error.
func TestTheTokenIsInNoError(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]http.HandlerFunc{
		"echoed in a message": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"message":"you sent %s"}`, r.Header.Get("Authorization")) //nolint:errcheck // a test's server
		},
		"echoed in a page": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprintf(w, `<html>%s</html>`, r.Header.Get("Authorization")) //nolint:errcheck // a test's server
		},
		"echoed in another shape": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"error":%q}`, r.Header.Get("Authorization")) //nolint:errcheck // a test's server
		},
		"no JSON": func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Authorization")) }, //nolint:errcheck // a test's server
		"redirected there": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/"+canary, http.StatusTemporaryRedirect)
		},
		"dropped": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := against(t, serve)
			_, created := r.CreateComment(t.Context(), 1, "x")
			_, asked := r.PullRequest(t.Context(), 1)
			_, may := r.Permission(t.Context(), "ada")
			for call, err := range map[string]error{"create": created, "get": asked, "permission": may, "status": r.SetStatus(t.Context(), "c0ffee", forge.Status{Context: "c"})} {
				var failed *forge.CallError
				if !errors.As(err, &failed) {
					t.Fatalf("%s: %v, want a *forge.CallError", call, err)
				}
				if said := fmt.Sprintf("%v %+v %#v", err, failed, failed.Err); strings.Contains(said, canary) {
					t.Errorf("%s: the error tells the token: %s", call, said)
				}
			}
		})
	}
	for name, token := range map[string]func(context.Context) (string, error){
		"none":  func(context.Context) (string, error) { return " \n", nil },
		"error": func(context.Context) (string, error) { return canary, errors.New("the vault is closed") },
	} {
		r, err := gitea.New(gitea.Options{URL: "http://127.0.0.1:1", Repository: "a/b", Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Self(t.Context()); !hasClass(err, 0, forge.Person) || strings.Contains(err.Error(), canary) {
			t.Errorf("token %s: %v", name, err)
		}
	}
}

func TestATokenIsAskedForEachTime(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":1,"login":%q}`, strings.TrimPrefix(r.Header.Get("Authorization"), "token ")) //nolint:errcheck // a test's server
	}))
	t.Cleanup(server.Close)
	r, err := gitea.New(gitea.Options{URL: server.URL, Repository: "a/b", Token: func(context.Context) (string, error) {
		return fmt.Sprint("token-", calls.Add(1)), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"token-1", "token-2"} {
		if me, err := r.Self(t.Context()); err != nil || me.Login != want {
			t.Errorf("%+v, %v, want %s", me, err, want)
		}
	}
}

// A list that gets shorter while it is read is read again: what moved to a page that
// was read already would be missed.
func TestAListThatShrinksIsReadAgain(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	r := against(t, func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		open := []int{1, 2, 3, 4}
		if n > 1 { // 1 is closed after the first page was given
			open = open[1:]
		}
		from := 0
		if r.URL.Query().Get("page") == "2" {
			from = 2
		}
		w.Header().Set("X-Total-Count", fmt.Sprint(len(open)))
		var page []string
		for _, number := range open[from:min(from+2, len(open))] {
			page = append(page, fmt.Sprintf(`{"number":%d,"state":"open"}`, number))
		}
		fmt.Fprintf(w, "[%s]", strings.Join(page, ",")) //nolint:errcheck // a test's server
	})
	open, err := r.OpenPullRequests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, p := range open {
		numbers = append(numbers, p.Number)
	}
	if diff := cmp.Diff([]int{2, 3, 4}, numbers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := asked.Load(); n != 4 {
		t.Errorf("asked %d times, want two pages twice", n)
	}
}

func TestWhatIsRepeatable(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/api/v1/repos/a/b/statuses/c0ffee":             true,
		"/git/api/v1/repos/a/b/statuses/c0ffee":         true,
		"/api/v1/repos/a/b/issues/comments/7/reactions": true,
		"/api/v1/repos/a/b/issues/7/comments":           false,
		"/api/v1/repos/a/b/hooks":                       false,
		"/api/v1/repos/a/statuses/hooks":                false, // a repository of that name
		"/api/v1/repos/a/statuses/issues/7/comments":    false,
		"/api/v1/repos/a/reactions":                     false,
	} {
		if got := gitea.Repeatable(httptest.NewRequest(http.MethodPost, path, nil)); got != want {
			t.Errorf("%s: %t, want %t", path, got, want)
		}
	}
}

// Beneath the adapter the transport repeats a status whose answer was lost, and not a
// comment.
func TestTheTransportRepeatsAStatusAndNoComment(t *testing.T) {
	t.Parallel()
	var posts atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && posts.Add(1)%2 == 1 {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, `{}`) //nolint:errcheck // a test's server
	}))
	t.Cleanup(server.Close)
	r, err := gitea.New(gitea.Options{
		URL: server.URL, Repository: "acme/infra", Token: func(context.Context) (string, error) { return canary, nil },
		HTTPClient: &http.Client{Transport: transport.New(transport.Options{
			Forge: "gitea", Repeatable: gitea.Repeatable, Sleep: func(context.Context, time.Duration) error { return nil },
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetStatus(t.Context(), "c0ffee", forge.Status{Context: "reeve/plan", State: forge.Success}); err != nil || posts.Load() != 2 {
		t.Errorf("a status: %v after %d requests", err, posts.Load())
	}
	if _, err := r.CreateComment(t.Context(), 1, "x"); !errors.Is(err, forge.ErrUnknownOutcome) || posts.Load() != 3 {
		t.Errorf("a comment: %v after %d requests", err, posts.Load()-2)
	}
	// A port where nobody listens: it was never sent.
	server.Close()
	if _, err := r.CreateComment(t.Context(), 1, "x"); err == nil || errors.Is(err, forge.ErrUnknownOutcome) {
		t.Errorf("a comment to nobody: %v", err)
	}
}
