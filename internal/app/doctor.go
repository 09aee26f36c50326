package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/internal/seal"
	"github.com/stackreeve/stackreeve/internal/web"
	"github.com/stackreeve/stackreeve/reconciler/diff"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi/language"
	"github.com/stackreeve/stackreeve/reconciler/report"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
	"github.com/stackreeve/stackreeve/schema"
)

// Health is how one thing that the daemon needs is.
type Health string

// The answers.
const (
	Well    Health = "ok"
	Unwell  Health = "warning"
	Missing Health = "missing"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Health Health `json:"health"`
	Detail string `json:"detail,omitempty"`
	// Fix says how to get what is missing.
	Fix string `json:"fix,omitempty"`
}

// lowDisk is the free space below which the doctor warns.
const lowDisk = 1 << 30

// Doctor looks at everything that a daemon with this configuration needs. It
// changes nothing but to make the data folder. address is where forges reach the daemon,
// "" when that is not known.
func Doctor(ctx context.Context, c config.Config, environ []string, address string, doing Doing) []Check {
	checks := []Check{checkConfig(c)}
	e := newEngines(c.Engine, c.DataDir, environ)
	e.doing = doing
	checks = append(checks, checkEngines(ctx, e)...)
	checks = append(checks, checkGit(ctx, c))
	checks = append(checks, checkFolder(c.DataDir)...)
	doing.tell("looking for the daemon")
	daemon := checkDaemon(ctx, c)
	checks = append(checks, checkKey(ctx, c.DataDir), daemon, checkCLIConfig(c))
	if len(c.Repositories) == 0 && daemon.Health == Well {
		doing.tell("asking the daemon for its repositories and engines")
		return append(checks, askDaemon(ctx, c.Socket)...)
	}
	checks = append(checks, checkRepositories(ctx, c, e)...)
	return append(checks, checkForges(ctx, c, environ, address, doing)...)
}

func checkConfig(c config.Config) Check {
	if c.File == "" {
		return Check{Name: "configuration", Health: Unwell, Detail: "no reeve.yaml was found; built-in values are in force",
			Fix: "write a reeve.yaml; `reeve schema config` prints its JSON Schema"}
	}
	return Check{Name: "configuration", Health: Well, Detail: c.File}
}

func checkEngines(ctx context.Context, e *engines) []Check {
	inv, err := e.all(ctx)
	if err != nil {
		return []Check{{Name: "engine", Health: Missing, Detail: err.Error()}}
	}
	var out []Check
	for _, p := range program.Names() {
		f, ok := inv.Best(p)
		if !ok {
			continue
		}
		more := 0
		for _, other := range inv.Found {
			if other.Provisioner == p {
				more++
			}
		}
		detail := f.Version + " (" + f.Path + ")"
		if more > 1 {
			detail += fmt.Sprintf(", and %d more: `reeve engine list`", more-1)
		}
		check := Check{Name: "engine " + string(p), Health: Well, Detail: detail}
		if p == schema.Pulumi {
			var runtimes []string
			for _, h := range language.Hosts(f.Program, e.path) {
				runtimes = append(runtimes, h.Runtime)
			}
			check.Detail += "; languages: " + strings.Join(runtimes, ", ")
			if len(runtimes) == 0 {
				check.Health, check.Detail = Unwell, detail+"; it has no language host, so it runs no program"
				check.Fix = "`reeve engine install pulumi` gets Pulumi with its hosts, or put pulumi-language-… beside it"
			}
		}
		out = append(out, check)
	}
	if len(out) == 0 {
		out = append(out, Check{Name: "engine", Health: Missing, Detail: "none was found in " + strings.Join(inv.Looked, ", "),
			Fix: "`reeve engine install tofu` gets OpenTofu, `reeve engine install terraform` Terraform, `reeve engine install pulumi` Pulumi; or install one so that it is on PATH, or name it in reeve.yaml (engine.tofu, engine.terraform, engine.pulumi)"})
	}
	for _, b := range inv.Broken {
		check := Check{Name: "engine " + string(b.Provisioner), Health: Unwell, Detail: b.Path + ": " + b.Err, Fix: "mend or remove it: no stack gets it"}
		if b.Origin == program.Configured {
			check.Fix = "correct engine." + string(b.Provisioner) + " in reeve.yaml: until then no stack gets this engine"
		}
		out = append(out, check)
	}
	return append(out, checkEngineConfig(e.c, inv)...)
}

// checkEngineConfig tells of what the configuration says of engines and is not there.
func checkEngineConfig(c config.Engine, inv program.Inventory) []Check {
	var out []Check
	if p := schema.Provisioner(c.Default); p != "" &&
		!slices.ContainsFunc(inv.Found, func(f program.Found) bool { return f.Provisioner == p }) &&
		!slices.ContainsFunc(inv.Broken, func(b program.Broken) bool { return b.Provisioner == p }) {
		out = append(out, Check{Name: "engine " + string(p), Health: Missing, Detail: "engine.default names it, and it is not installed",
			Fix: "`" + program.InstallCommand(engine.Wanted{Provisioner: p}) + "` gets it, or correct engine.default in reeve.yaml"})
	}
	for _, dir := range c.Folders {
		if st, err := os.Stat(dir); err != nil || !st.IsDir() {
			out = append(out, Check{Name: "engine folder", Health: Unwell, Detail: dir + " is no folder that can be read", Fix: "correct engine.folders in reeve.yaml"})
		}
	}
	return out
}

func checkFolder(dir string) []Check {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return []Check{{Name: "data folder", Health: Missing, Detail: err.Error(), Fix: "choose another dataDir, or make it writable for this user"}}
	}
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return []Check{{Name: "data folder", Health: Missing, Detail: err.Error(), Fix: "make it writable for this user"}}
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	out := []Check{{Name: "data folder", Health: Well, Detail: dir}}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err == nil {
		free := fs.Bavail * uint64(fs.Bsize)
		check := Check{Name: "disk space", Health: Well, Detail: fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30))}
		if free < lowDisk {
			check.Health, check.Fix = Unwell, "free some space: a full disk stops new jobs"
		}
		out = append(out, check)
	}
	return out
}

func checkKey(ctx context.Context, dir string) Check {
	file := filepath.Join(dir, keyFile)
	lost := func(detail string) Check {
		return Check{Name: "key file", Health: Missing, Detail: detail, Fix: "put the key file back from your copy; sealed values cannot be read without it"}
	}
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, sqlite.FileName)); err == nil {
			return lost(file + " does not exist, and there are records")
		}
		return Check{Name: "key file", Health: Well, Detail: "is made at the first start; keep a copy of it in a safe place"}
	}
	key, err := seal.OpenOrCreate(file)
	if err != nil {
		return lost(err.Error())
	}
	if recipient, err := sqlite.KeyOf(ctx, dir); err == nil && recipient != "" && recipient != key.Recipient() {
		return lost(file + ": " + ErrKeyOther.Error())
	}
	return Check{Name: "key file", Health: Well, Detail: file}
}

func checkDaemon(ctx context.Context, c config.Config) Check {
	if err := web.Ping(ctx, c.Socket); err != nil {
		return Check{Name: "daemon", Health: Unwell, Detail: "no daemon answers on " + c.Socket, Fix: "start one with `reeve serve`"}
	}
	return Check{Name: "daemon", Health: Well, Detail: "answers on " + c.Socket}
}

// askDaemon has the running daemon say what this configuration does not know: it was told its
// repositories on its own command line, or in another file.
func askDaemon(ctx context.Context, socket string) []Check {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	daemon := api.NewClient(api.Options{Socket: socket})
	defer daemon.Close()
	const name = "repositories"
	list, err := daemon.Repositories(ctx)
	if err != nil {
		return []Check{{Name: name, Health: Unwell, Detail: "this configuration names none, and the daemon does not say its own: " + oneLine(err),
			Fix: "name the daemon's configuration with --config"}}
	}
	if len(list) == 0 {
		return []Check{{Name: name, Health: Missing, Detail: "none is configured, and the daemon has none", Fix: addRepository}}
	}
	out := []Check{{Name: name, Health: Unwell, Detail: "this configuration names none; those below are the daemon's, as it says",
		Fix: "name the daemon's configuration with --config to have their forges checked, too"}}
	for _, r := range list {
		out = append(out, checkFollowed(r))
	}
	return append(out, askEngines(ctx, daemon)...)
}

// checkFollowed tells how a repository is that a daemon follows.
func checkFollowed(r api.RepositoryStatus) Check {
	check := Check{Name: "repository " + r.Name, Health: Well, Detail: strings.TrimSpace(r.Branch + " " + gitsource.Revision{Commit: r.Commit}.Short())}
	switch {
	case r.FetchError != "":
		check.Health, check.Detail, check.Fix = Missing, r.FetchError, "check its address, branch and credentials where the daemon was told them"
	case r.Commit == "":
		check.Health, check.Detail = Unwell, "the daemon has not read it yet"
	case r.Errors > 0:
		check.Health, check.Detail, check.Fix = Unwell, check.Detail+": "+report.Plural(r.Errors, "error"), "`reeve get repositories` shows all errors"
	}
	return check
}

// askEngines has the daemon say which programs its stacks get, and which of them none.
func askEngines(ctx context.Context, daemon *api.Client) []Check {
	const name = "engines of the daemon"
	list, err := daemon.Resources(ctx, api.Filter{})
	if err != nil {
		return []Check{{Name: name, Health: Unwell, Detail: oneLine(err)}}
	}
	if len(list) == 0 {
		return []Check{{Name: name, Health: Well, Detail: "it has no stack"}}
	}
	got, lacks := map[string]int{}, map[string][]schema.ResourceKey{}
	for _, r := range list {
		e, err := daemon.Engine(ctx, r.Key)
		switch {
		case errors.Is(err, store.ErrNotFound): // gone since
		case err != nil:
			return []Check{{Name: name, Health: Unwell, Detail: r.Key.String() + ": " + oneLine(err)}}
		case e.Path == "":
			lacks[e.Problem] = append(lacks[e.Problem], r.Key)
		default:
			got[string(e.Engine)+" "+e.Version]++
		}
	}
	var missing []Check
	for _, problem := range slices.Sorted(maps.Keys(lacks)) {
		missing = append(missing, Check{Name: name, Health: Missing, Detail: andMore(lacks[problem]) + ": " + problem})
	}
	return engineChecks(name, got, missing)
}

func checkCLIConfig(c config.Config) Check {
	if c.Engine.CLIConfig == "" {
		return Check{Name: "engine CLI configuration", Health: Well, Detail: "none; Terraform and OpenTofu get providers from their own registries"}
	}
	if _, err := os.Stat(c.Engine.CLIConfig); err != nil {
		return Check{Name: "engine CLI configuration", Health: Missing, Detail: err.Error(), Fix: "correct engine.cliConfig in reeve.yaml"}
	}
	return Check{Name: "engine CLI configuration", Health: Well, Detail: c.Engine.CLIConfig}
}

// addRepository is how a daemon gets a repository.
const addRepository = "add one to reeve.yaml, or start `reeve serve --repository PATH-OR-URL`"

// reachTimeout bounds how long the doctor waits for one repository.
const reachTimeout = 20 * time.Second

func checkRepositories(ctx context.Context, c config.Config, e *engines) []Check {
	if len(c.Repositories) == 0 {
		return []Check{{Name: "repositories", Health: Missing, Detail: "none is configured", Fix: addRepository}}
	}
	scratch, err := os.MkdirTemp("", "reeve-doctor-")
	if err != nil {
		return []Check{{Name: "repositories", Health: Unwell, Detail: err.Error()}}
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	stacks := recordedStacks(ctx, c, filepath.Join(scratch, "records"))
	var out []Check
	for _, r := range c.Repositories {
		e.doing.tell("reading the repository " + r.Name)
		name := "repository " + r.Name
		within, cancel := context.WithTimeout(ctx, reachTimeout)
		found, err := reach(within, c, r, scratch)
		cancel()
		if err != nil {
			out = append(out, Check{Name: name, Health: Missing, Detail: err.Error(), Fix: "check its address, branch and credentials in reeve.yaml"})
			continue
		}
		out = append(out, Check{Name: name, Health: Well, Detail: found.revision.Branch + " " + found.revision.Short()})
		if found.tree == nil {
			out = append(out, Check{Name: "engines of " + r.Name, Health: Unwell, Detail: "it cannot be read: " + found.err.Error()})
			continue
		}
		out = append(out, checkUses(ctx, e, r.Name, diff.Input{Tree: found.tree, Stacks: stacks, DefaultProvisioner: e.preferred(ctx, c.Engine)})...)
	}
	return out
}

// recordedStacks is what a daemon has recorded of stacks, read from a copy in the folder
// scratch; nil when there is nothing, or it cannot be read. A stack for which no document
// names an engine stays with the one that made it.
func recordedStacks(ctx context.Context, c config.Config, scratch string) map[schema.ResourceKey]stackjob.Stack {
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil
	}
	if err := copyRecords(ctx, c.DataDir, scratch); err != nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(scratch, sqlite.FileName)); err != nil {
		return nil // no daemon has ever run here
	}
	records, err := sqlite.Open(ctx, sqlite.Options{Folder: scratch, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		return nil
	}
	defer func() { _ = records.Close() }()
	stacks, err := records.Stacks(ctx, "")
	if err != nil {
		return nil
	}
	return stacks
}

// checkUses tells which programs the stacks of a repository get, and which of them none.
func checkUses(ctx context.Context, e *engines, repository string, in diff.Input) []Check {
	name := "engines of " + repository
	uses := diff.EngineUses(in, func(schema.ResourceKey) bool { return true })
	if len(uses) == 0 {
		return []Check{{Name: name, Health: Well, Detail: "it has no stack"}}
	}
	got := map[string]int{}
	var missing []Check
	for _, u := range uses {
		p, err := e.program(ctx, engine.Wanted{Provisioner: u.Provisioner, Version: u.Version, Runtime: u.Runtime})
		if err == nil {
			got[p.String()] += len(u.Of)
			continue
		}
		check := Check{Name: name, Health: Missing, Detail: andMore(u.Of)}
		var lack EngineLack
		if !errors.As(err, &lack) {
			check.Detail += ": " + err.Error()
		} else {
			check.Detail, check.Fix = check.Detail+": "+lack.What(), lack.How()
			if there := lack.Instead(); there != "" {
				check.Detail += "; " + there
			}
		}
		missing = append(missing, check)
	}
	return engineChecks(name, got, missing)
}

// andMore names the first of some stacks.
func andMore(of []schema.ResourceKey) string {
	if more := len(of) - 1; more > 0 {
		return fmt.Sprintf("%s and %d more", of[0], more)
	}
	return of[0].String()
}

// engineChecks tells how many stacks get each program, and then what is missing.
func engineChecks(name string, got map[string]int, missing []Check) []Check {
	var parts []string
	for _, p := range slices.Sorted(maps.Keys(got)) {
		parts = append(parts, fmt.Sprintf("%s for %s", p, report.Plural(got[p], "stack")))
	}
	if len(parts) == 0 {
		return missing
	}
	return append([]Check{{Name: name, Health: Well, Detail: strings.Join(parts, ", ")}}, missing...)
}
