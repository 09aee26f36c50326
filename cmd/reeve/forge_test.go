package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/tea"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// sites are the repositories of scripts on a real Gitea, by the script's folder.
type sites struct {
	t    *testing.T
	mu   sync.Mutex // guards open: scripts run beside one another
	open map[string]*tea.Site
}

func (s *sites) of(ts *testscript.TestScript) *tea.Site {
	s.mu.Lock()
	defer s.mu.Unlock()
	site := s.open[ts.Getenv("WORK")]
	if site == nil {
		ts.Fatalf("there is no site yet")
	}
	return site
}

// filesOf reads a folder of a script.
func filesOf(ts *testscript.TestScript, dir string) map[string]string {
	files := map[string]string{}
	root := ts.MkAbs(dir)
	ts.Check(filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		name, _ := filepath.Rel(root, p)
		files[filepath.ToSlash(name)] = string(b)
		return err
	}))
	return files
}

// site makes a repository of a folder's files: "site FOLDER". Its addresses are in
// $SITE_URL (to clone), $SITE_PAGE, $SITE_API and $SITE_NAME; the token of the daemon's
// account is in the file "token", and $SITE_TOKEN, and that of a reader in "reader".
func (s *sites) site(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: site FOLDER")
	}
	site, ok := tea.New(s.t, tooltest.Gitea(s.t)).NewSite(s.t, filesOf(ts, args[0])).(*tea.Site)
	if !ok {
		ts.Fatalf("it is no site of Gitea")
	}
	s.mu.Lock()
	s.open[ts.Getenv("WORK")] = site
	s.mu.Unlock()
	ts.Setenv("SITE_URL", site.CloneURL(""))
	ts.Setenv("SITE_PAGE", site.URL())
	ts.Setenv("SITE_API", site.APIURL())
	ts.Setenv("SITE_NAME", site.Name())
	ts.Setenv("SITE_TOKEN", site.Token(forgetest.Reeve))
	ts.Check(os.WriteFile(ts.MkAbs("token"), []byte(site.Token(forgetest.Reeve)), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("reader"), []byte(site.Token(forgetest.Mallory)), 0o600))
	waitFor(ts, "the repository is there", func() bool {
		_, err := site.Repository(s.t).OpenPullRequests(s.t.Context())
		return err == nil
	})
}

// propose opens a pull request of a folder's files: "propose FOLDER TITLE".
func (s *sites) propose(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: propose FOLDER TITLE")
	}
	site := s.of(ts)
	site.Push(s.t, forgetest.Ada, args[0], filesOf(ts, args[0]), false)
	site.Open(s.t, forgetest.Ada, args[0], args[1], false)
}

// commented waits until a comment on pull request 1 holds a text and writes it to a
// file: "commented TEXT FILE".
func (s *sites) commented(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: commented TEXT FILE")
	}
	site := s.of(ts)
	waitFor(ts, "a comment says "+args[0], func() bool {
		for _, c := range site.Comments(s.t, 1) {
			if strings.Contains(c.Body, args[0]) {
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(c.Body+"\n"), 0o600))
				return true
			}
		}
		return false
	})
}

// waitFor waits until something is so.
func waitFor(ts *testscript.TestScript, what string, isSo func() bool) {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !isSo() {
		select {
		case <-ctx.Done():
			ts.Fatalf("gave up waiting until %s", what)
		case <-tick.C:
		}
	}
}
