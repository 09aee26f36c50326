package app

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
	"github.com/stackreeve/stackreeve/internal/config"
)

func TestALimitHoldsForEveryRepositoryOfItsCredential(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "3000")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(server.Close)
	environ := []string{"ONE=canary-1", "TWO=canary-2"}
	var all transports
	open := func(kind config.ForgeKind, repository, token string) (forge.Repository, config.Repository) {
		t.Helper()
		r := config.Repository{Name: repository, Forge: config.Forge{Kind: kind, URL: server.URL, Repository: repository, Token: config.SecretSource{Env: token}}}
		f, err := openForge(r, environ, all.to(r.Forge))
		if err != nil {
			t.Fatal(err)
		}
		return f, r
	}
	for _, kind := range []config.ForgeKind{config.GitHub, config.GitLab, config.Gitea} {
		first, kept := open(kind, "acme/one", "ONE")
		second, _ := open(kind, "acme/two", "ONE")
		other, _ := open(kind, "acme/three", "TWO")
		asked.Store(0)
		if _, err := first.Self(t.Context()); err == nil || asked.Load() != 1 {
			t.Fatalf("%s: %v after %d requests", kind, err, asked.Load())
		}
		_, err := second.Self(t.Context())
		if !errors.Is(err, transport.ErrLimited) || asked.Load() != 1 {
			t.Errorf("%s: another repository with the same credential: %v after %d requests", kind, err, asked.Load())
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the token stands in %v", kind, err)
		}
		if _, err := other.Self(t.Context()); errors.Is(err, transport.ErrLimited) || asked.Load() != 2 {
			t.Errorf("%s: a repository with another credential: %v after %d requests", kind, err, asked.Load())
		}
		// What a reload leaves in use is as it was, limit and all.
		all.keep([]config.Repository{kept})
		again, _ := open(kind, "acme/four", "ONE")
		if _, err := again.Self(t.Context()); !errors.Is(err, transport.ErrLimited) {
			t.Errorf("%s: after a reload: %v", kind, err)
		}
		if len(all.open) != 1 {
			t.Errorf("%s: %d transports are kept, expected one", kind, len(all.open))
		}
	}
}

func TestAnAppHasABudgetForEachInstallation(t *testing.T) {
	t.Parallel()
	of := func(repository, id string) budget {
		return budgetOf(config.Forge{Kind: config.GitHub, URL: "https://github.com/", Repository: repository, App: config.GitHubApp{ID: id}})
	}
	if of("acme/one", "7") != of("Acme/two", "7") {
		t.Error("two repositories of one installation have two budgets")
	}
	if of("acme/one", "7") == of("globex/one", "7") || of("acme/one", "7") == of("acme/one", "8") {
		t.Error("two installations have one budget")
	}
}
