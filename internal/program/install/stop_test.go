package install_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/internal/program/install"
	"github.com/stackreeve/stackreeve/schema"
)

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
