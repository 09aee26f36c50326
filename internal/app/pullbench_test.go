package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest"
	"github.com/stackreeve/stackreeve/gitsource/forge/forgetest/tea"
	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// three is a module of three resources without a provider.
const three = `variable "text" { type = string }
resource "terraform_data" "a" { input = var.text }
resource "terraform_data" "b" { input = terraform_data.a.output }
resource "terraform_data" "c" { input = terraform_data.b.output }
output "text" { value = terraform_data.c.output }
`

// BenchmarkPullRequest opens a pull request that adds ten stacks of three resources
// each, on a local Gitea: how long until its first sign and until all plans stand in
// the comment, from the moment in which the forge was told to open it, which is
// before it sends its webhook; and how many writes that takes. It does so in a
// repository with nothing else in it, and in one with 10,000 other files.
func BenchmarkPullRequest(b *testing.B) {
	for _, others := range []int{0, 10000} {
		b.Run(fmt.Sprintf("files=%d", others), func(b *testing.B) {
			files := map[string]string{"modules/three/main.tf": three}
			for i := range others {
				files[fmt.Sprintf("docs/%02d/page-%04d.md", i%100, i)] = fmt.Sprintf("# Page %d\n", i)
			}
			w := &pullWorld{world: newWorld(b, tooltest.Engines(b)[0]), site: tea.New(b, tooltest.Gitea(b)).NewSite(b, files), hooks: true}
			w.front = newFront(b, w.site.APIURL())
			w.start()
			var first, all time.Duration
			writes := 0
			for i := range b.N + 1 { // the first warms the providers' caches and is not counted
				one, ten, n := w.openTen(b, i)
				if i == 0 {
					continue
				}
				first, all, writes = first+one, all+ten, writes+n
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(first.Milliseconds())/float64(b.N), "first-sign-ms")
			b.ReportMetric(float64(all.Milliseconds())/float64(b.N), "all-plans-ms")
			b.ReportMetric(float64(writes)/float64(b.N), "writes")
		})
	}
}

// openTen opens one pull request of ten stacks.
func (w *pullWorld) openTen(b *testing.B, round int) (first, all time.Duration, writes int) {
	b.Helper()
	files := map[string]string{}
	for i := range 10 {
		name := fmt.Sprintf("s%d-%d", round, i)
		files["acme/dev/"+name+".yaml"] = fmt.Sprintf("apiVersion: stackreeve.dev/v1\nkind: TerraformStack\nmetadata: {name: %s}\nspec:\n  module: {path: /modules/three}\n  variables: {text: one}\n", name)
	}
	branch := fmt.Sprintf("change-%d", round)
	w.site.Push(b, forgetest.Ada, branch, files, false)
	faults, ok := forgetest.FaultsOf(w.site)
	if !ok {
		b.Fatal("nobody counts the calls")
	}
	faults.Calls()
	began := time.Now()
	n := w.site.Open(b, forgetest.Ada, branch, "Ten more", false)
	for all == 0 {
		if time.Since(began) > patience {
			b.Fatal("the plans never stood in the pull request")
		}
		for _, body := range w.ours(n) {
			if first == 0 {
				first = time.Since(began)
			}
			if strings.Contains(body, "+30 ~0") {
				all = time.Since(began)
			}
		}
		time.Sleep(5 * time.Millisecond) // the look costs the server something too
	}
	for method, count := range faults.Calls() {
		if method != "GET" && method != "HEAD" {
			writes += count
		}
	}
	return first, all, writes
}
