// Command reeve-tools builds the programs that the Makefile, the container image
// and the checks need. Their paths go to standard output, everything else to
// standard error.
//
//	reeve-tools list               what can be built
//	reeve-tools ensure NAME...     build what is missing, print where each is
//	reeve-tools vuln [PATTERN...]  govulncheck, if its database can be reached
//	reeve-tools tidy NAME...       bring recipes in order after a version was changed
//	reeve-tools clean              remove every built tool
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/stackreeve/stackreeve/internal/tool"
)

// errUsage ends the command with status 2.
var errUsage = errors.New("usage: reeve-tools list | ensure NAME... | vuln [PATTERN...] | tidy NAME... | clean")

// The longest that a look at the vulnerability database may take.
const vulnLimit = 5 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "reeve-tools:", err)
	if errors.Is(err, errUsage) {
		os.Exit(2)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	cache, err := tool.OpenCache(tool.Options{Progress: stderr})
	if err != nil {
		return err
	}
	verb, rest := args[0], args[1:]
	switch {
	case verb == "list" && len(rest) == 0:
		for _, r := range tool.Recipes() {
			fmt.Fprintf(stdout, "%-14s %s\n", r.Name, r.Title)
		}
		return nil
	case verb == "ensure" && len(rest) > 0:
		return eachRecipe(rest, func(r tool.Recipe) error {
			folder, err := cache.Ensure(ctx, r)
			if err == nil {
				fmt.Fprintln(stdout, filepath.Join(folder, filepath.FromSlash(r.Makes[0])))
			}
			return err
		})
	case verb == "vuln":
		if len(rest) == 0 {
			rest = []string{"./..."}
		}
		return tool.CheckVulnerabilities(ctx, stderr, vulnLimit, rest...)
	case verb == "tidy" && len(rest) > 0:
		return eachRecipe(rest, func(r tool.Recipe) error { return tidy(ctx, cache, r) })
	case verb == "clean" && len(rest) == 0:
		fmt.Fprintln(stderr, "removing the tools in", cache.Folder())
		return cache.Remove(tool.Recipes()...)
	}
	return errUsage
}

func eachRecipe(names []string, do func(tool.Recipe) error) error {
	all := tool.Recipes()
	for _, name := range names {
		i := slices.IndexFunc(all, func(r tool.Recipe) bool { return r.Name == name })
		if i < 0 {
			known := make([]string, len(all))
			for i, r := range all {
				known[i] = r.Name
			}
			return fmt.Errorf("no recipe %q; there are %s", name, strings.Join(known, ", "))
		}
		if err := do(all[i]); err != nil {
			return err
		}
	}
	return nil
}

// tidy writes a recipe's files anew, in the source tree that is the working
// directory.
func tidy(ctx context.Context, cache *tool.Cache, r tool.Recipe) error {
	goMod, goSum, err := cache.Tidy(ctx, r)
	if err != nil {
		return err
	}
	dir := filepath.Join("internal", "tool", "recipe", r.Name)
	for name, text := range map[string]string{"go.mod.txt": goMod, "go.sum.txt": goSum} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("run this at the root of the source tree: %w", err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
