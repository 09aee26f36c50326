package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/internal/seal"
	"github.com/stackreeve/stackreeve/internal/web"
	"github.com/stackreeve/stackreeve/reconciler/store/sqlite"
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
func Doctor(ctx context.Context, c config.Config, environ []string, address string) []Check {
	checks := []Check{checkConfig(c)}
	checks = append(checks, checkEngines(ctx, c, environ)...)
	checks = append(checks, checkGit(ctx, c))
	checks = append(checks, checkFolder(c.DataDir)...)
	daemon := checkDaemon(ctx, c)
	checks = append(checks, checkKey(c.DataDir), daemon, checkCLIConfig(c))
	if len(c.Repositories) == 0 && daemon.Health == Well {
		// It was told on its own command line, or in another file.
		return append(checks, Check{Name: "repositories", Health: Unwell, Detail: "this configuration names none; the daemon has its own",
			Fix: "see `reeve get repositories`, or name the daemon's configuration with --config"})
	}
	checks = append(checks, checkRepositories(ctx, c)...)
	return append(checks, checkForges(ctx, c, environ, address)...)
}

func checkConfig(c config.Config) Check {
	if c.File == "" {
		return Check{Name: "configuration", Health: Unwell, Detail: "no reeve.yaml was found; built-in values are in force",
			Fix: "write a reeve.yaml; `reeve schema config` prints its JSON Schema"}
	}
	return Check{Name: "configuration", Health: Well, Detail: c.File}
}

func checkEngines(ctx context.Context, c config.Config, environ []string) []Check {
	inv, err := newEngines(c.Engine, c.DataDir, environ).all(ctx)
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
		out = append(out, Check{Name: "engine " + string(p), Health: Well, Detail: detail})
	}
	if len(out) == 0 {
		out = append(out, Check{Name: "engine", Health: Missing, Detail: "none was found in " + strings.Join(inv.Looked, ", "),
			Fix: "`reeve engine install tofu` gets OpenTofu, `reeve engine install terraform` Terraform; or install one so that it is on PATH, or name it in reeve.yaml (engine.tofu, engine.terraform)"})
	}
	for _, b := range inv.Broken {
		out = append(out, Check{Name: "engine " + string(b.Provisioner), Health: Unwell, Detail: b.Path + ": " + b.Err})
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

func checkKey(dir string) Check {
	file := filepath.Join(dir, keyFile)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, sqlite.FileName)); err == nil {
			return Check{Name: "key file", Health: Missing, Detail: file + " does not exist, and there are records", Fix: "put the key file back from your copy; sealed values cannot be read without it"}
		}
		return Check{Name: "key file", Health: Well, Detail: "is made at the first start; keep a copy of it in a safe place"}
	}
	if _, err := seal.OpenOrCreate(file); err != nil {
		return Check{Name: "key file", Health: Missing, Detail: err.Error(), Fix: "put the key file back from your copy; sealed values cannot be read without it"}
	}
	return Check{Name: "key file", Health: Well, Detail: file}
}

func checkDaemon(ctx context.Context, c config.Config) Check {
	if err := web.Ping(ctx, c.Socket); err != nil {
		return Check{Name: "daemon", Health: Unwell, Detail: "no daemon answers on " + c.Socket, Fix: "start one with `reeve serve`"}
	}
	return Check{Name: "daemon", Health: Well, Detail: "answers on " + c.Socket}
}

func checkCLIConfig(c config.Config) Check {
	if c.Engine.CLIConfig == "" {
		return Check{Name: "engine CLI configuration", Health: Well, Detail: "none; providers come from the engines' own registries"}
	}
	if _, err := os.Stat(c.Engine.CLIConfig); err != nil {
		return Check{Name: "engine CLI configuration", Health: Missing, Detail: err.Error(), Fix: "correct engine.cliConfig in reeve.yaml"}
	}
	return Check{Name: "engine CLI configuration", Health: Well, Detail: c.Engine.CLIConfig}
}

// reachTimeout bounds how long the doctor waits for one repository.
const reachTimeout = 20 * time.Second

func checkRepositories(ctx context.Context, c config.Config) []Check {
	if len(c.Repositories) == 0 {
		return []Check{{Name: "repositories", Health: Missing, Detail: "none is configured", Fix: "add one to reeve.yaml, or start `reeve serve --repository PATH-OR-URL`"}}
	}
	scratch, err := os.MkdirTemp("", "reeve-doctor-")
	if err != nil {
		return []Check{{Name: "repositories", Health: Unwell, Detail: err.Error()}}
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	var out []Check
	for _, r := range c.Repositories {
		ctx, cancel := context.WithTimeout(ctx, reachTimeout)
		detail, err := reach(ctx, c, r, scratch)
		cancel()
		check := Check{Name: "repository " + r.Name, Health: Well, Detail: detail}
		if err != nil {
			check = Check{Name: "repository " + r.Name, Health: Missing, Detail: err.Error(), Fix: "check its address, branch and credentials in reeve.yaml"}
		}
		out = append(out, check)
	}
	return out
}
