package terraform_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// Without the lock a third of cold parallel inits on one cache fail.
func TestEightColdInitsShareAProviderCache(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, first *bench) {
		cache, config := filepath.Join(t.TempDir(), "providers"), tooltest.CLIConfig(t)
		var all sync.WaitGroup
		for range 8 {
			b := newBench(t, first.Task.Program)
			b.Task.Env["TF_CLI_CONFIG_FILE"], b.Task.ProviderCache = config, cache
			b.Module(map[string]string{"main.tf": "resource \"random_pet\" \"a\" {}\nresource \"null_resource\" \"n\" {}\n"})
			all.Go(func() {
				r := b.Driver.Plan(t.Context(), b.Task, b.PlanFile, b.Sink)
				if r.Failure != nil {
					t.Error(r.Failure.Text)
				} else if r.Plan.Counts.Create != 2 {
					t.Errorf("counts = %+v", r.Plan.Counts)
				}
			})
		}
		all.Wait()
		if found, err := filepath.Glob(filepath.Join(cache, "*", "*", "random")); err != nil || len(found) != 1 {
			t.Errorf("the cache was not used: %v, %v", found, err)
		}
	})
}
