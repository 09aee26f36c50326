package tooltest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// asChild makes this test binary start a server, name it and die.
const asChild = "REEVE_TEST_GITEA_CHILD"

func get(t *testing.T, url, user, password string, into any) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatalf("GET %s: %s: %v", url, resp.Status, err)
	}
	return nil
}

func TestGiteaIsOneServerWithTheAccountsThatAreAskedFor(t *testing.T) {
	t.Parallel()
	s := tooltest.Gitea(t)
	if again := tooltest.Gitea(t); again != s {
		t.Error("a second server was started")
	}
	var version struct{ Version string }
	if err := get(t, s.URL()+"/api/v1/version", "", "", &version); err != nil || !strings.HasPrefix(version.Version, "1.") {
		t.Errorf("the server says version %q, %v", version.Version, err)
	}
	password := s.Account(t, "ada")
	if again := s.Account(t, "ada"); again != password {
		t.Error("an account's password changed")
	}
	var me struct {
		Login   string
		IsAdmin bool `json:"is_admin"`
	}
	if err := get(t, s.URL()+"/api/v1/user", "ada", password, &me); err != nil || me.Login != "ada" || me.IsAdmin {
		t.Errorf("with her password ada is %+v, %v", me, err)
	}
}

// The child panics in a goroutine, so that no deferred call and no cleanup runs.
func TestGiteaEndsWithTheProcess(t *testing.T) {
	if os.Getenv(asChild) != "" {
		s := tooltest.Gitea(t)
		println("CHILD", s.URL())
		go func() { panic("as a test might") }()
		select {}
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestGiteaEndsWithTheProcess$")
	cmd.Env = append(os.Environ(), asChild+"=1", "TMPDIR="+t.TempDir())
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url := ""
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if found, ok := strings.CutPrefix(lines.Text(), "CHILD "); ok {
			url = found
		}
	}
	if err := cmd.Wait(); err == nil || url == "" {
		t.Fatalf("the child ended with %v and the server %q", err, url)
	}
	var v struct{ Version string }
	for get(t, url+"/api/v1/version", "", "", &v) == nil { // until nobody listens
		if ctx.Err() != nil {
			t.Fatalf("%s still answers", url)
		}
	}
	for { // until its folder is gone
		left, err := os.ReadDir(strings.TrimPrefix(cmd.Env[len(cmd.Env)-1], "TMPDIR="))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("the server left %v", left)
		}
	}
}
