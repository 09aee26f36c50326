// Package install brings engines of exact versions onto the machine: Terraform by
// hashicorp/hc-install, OpenTofu and Pulumi from the archives of their releases.
//
//	Request (tofu@~> 1.9) ─▶ which versions there are ─▶ archive, checksums, signature ─▶ ROOT/tofu/1.12.6/tofu
//
// Nothing gets its name before it is whole, was checked and has said its version: the
// work is done in a folder whose name no version has, and which is then renamed. What a
// run that was killed left behind is removed by the next one. One install at a time works
// below a root; others wait for it.
//
// Checksums come from the release. Terraform's and OpenTofu's are signed, and the
// signature is checked with the maker's key wherever the files come from; a mirror must
// serve what the maker published. Pulumi's are not signed in a way that can be checked
// here: with it one trusts the address.
package install

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/hashicorp/go-version"

	"github.com/stackreeve/stackreeve/internal/folderlock"
	"github.com/stackreeve/stackreeve/internal/program"
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/schema"
)

// Options say where to and where from.
type Options struct {
	// Root is the folder of all installed engines.
	Root string
	// Mirrors are addresses to use instead of the makers'; see config.Mirrors.
	Mirrors map[schema.Provisioner]string
	// Keys are armored public keys that check signatures instead of the makers'.
	Keys map[schema.Provisioner]string
	// Oldest is the first version that can be used: an older one is not installed. nil for any.
	Oldest *version.Version
	// Progress is told what happens, one call at a time; it may be nil.
	Progress func(Progress)
	// Client speaks to servers; nil means one that honours the proxy variables.
	Client *http.Client
}

// Progress is how far an install is.
type Progress struct {
	// What is done now: "download tofu 1.12.6".
	What string
	// Done and Total are bytes; Total is 0 when it is not known, or nothing is counted.
	Done, Total int64
}

// Request is what is to be installed.
type Request struct {
	Provisioner schema.Provisioner
	// Constraint is a version ("1.12.6"), a constraint ("~> 1.12"), or "" for the newest.
	Constraint string
}

// Parse reads NAME[@VERSION|CONSTRAINT].
func Parse(s string) (Request, error) {
	name, constraint, given := strings.Cut(s, "@")
	r := Request{Provisioner: schema.Provisioner(name), Constraint: strings.TrimSpace(constraint)}
	if name == "opentofu" {
		r.Provisioner = schema.OpenTofu
	}
	if !slices.Contains(program.Names(), r.Provisioner) {
		return r, fmt.Errorf("engine %q: expected terraform, tofu or pulumi", name)
	}
	if _, err := version.NewConstraint(r.Constraint); given && err != nil {
		return r, fmt.Errorf("version %q: expected a version such as 1.9.8, or a constraint such as '~> 1.9' or '>= 1.6, < 2'", constraint)
	}
	return r, nil
}

// exact is the one version that is asked for; "" when several fit.
func (r Request) exact() string {
	v, err := version.NewVersion(strings.TrimSpace(strings.TrimPrefix(r.Constraint, "=")))
	if err != nil {
		return ""
	}
	return v.String()
}

// allows tells whether a version is asked for; the newest must be a release.
func (r Request) allows(v *version.Version) bool {
	if r.Constraint == "" {
		return v.Prerelease() == ""
	}
	return schema.EngineVersion{Constraint: r.Constraint}.Allows(v)
}

// Installed is what an install has come to.
type Installed struct {
	engine.Program
	// Already tells that it was there, and that no network was used for it.
	Already bool `json:"already"`
}

// maker knows how the releases of one engine are published.
type maker interface {
	// versions lists what there is, in any order.
	versions(ctx context.Context) ([]*version.Version, error)
	// fetch puts the program, with what belongs to it, into the folder to, checked
	// against the release's checksums.
	fetch(ctx context.Context, number, to string) error
}

// Install installs what is asked for, unless it is there. It may be called by several
// processes at once.
func Install(ctx context.Context, o Options, r Request) (Installed, error) {
	i := &installation{Options: o, request: r}
	switch r.Provisioner {
	case schema.Terraform:
		i.maker = hashicorp{i}
	case schema.OpenTofu:
		i.maker = opentofu{i}
	case schema.Pulumi:
		i.maker = pulumi{i}
	default:
		return Installed{}, fmt.Errorf("engine %q: expected terraform, tofu or pulumi", r.Provisioner)
	}
	done, err := i.run(ctx)
	if err == nil {
		return done, nil
	}
	err = fmt.Errorf("install %s: %w", i.name(), err)
	if errors.Is(err, errNotThere) && i.number != "" {
		err = fmt.Errorf("%w: there is no such version, or not for this machine", err)
	}
	if unreached := new(net.OpError); errors.As(err, &unreached) && ctx.Err() == nil {
		err = fmt.Errorf("%w. `engine.mirrors.%s` names another address, and a program that is put into a folder of `engine.folders` is found without any", err, r.Provisioner)
	}
	return done, err
}

// installation is one run of Install.
type installation struct {
	Options
	maker
	request Request
	number  string
}

// name is what is installed, for people.
func (i *installation) name() string {
	s := string(i.request.Provisioner)
	switch {
	case i.number != "":
		return s + " " + i.number
	case i.request.Constraint != "":
		return s + " " + i.request.Constraint
	}
	return s
}

func (i *installation) tell(what string) {
	if i.Progress != nil {
		i.Progress(Progress{What: what})
	}
}

func (i *installation) run(ctx context.Context) (Installed, error) {
	if err := os.MkdirAll(i.Root, 0o700); err != nil {
		return Installed{}, err
	}
	if p, ok := i.present(ctx); ok {
		return p, nil
	}
	lock := flock.New(filepath.Join(i.Root, ".lock"))
	if err := folderlock.Wait(ctx, lock, func() { i.tell("wait for another install") }); err != nil {
		return Installed{}, err
	}
	defer func() { _ = lock.Unlock() }()
	if p, ok := i.present(ctx); ok { // whoever had the lock has brought it
		return p, nil
	}
	if i.number = i.request.exact(); i.number == "" {
		i.tell("ask for the versions of " + string(i.request.Provisioner))
		list, err := i.versions(ctx)
		if err != nil {
			return Installed{}, err
		}
		newest := newestOf(list, i.request.allows)
		if newest == nil {
			return Installed{}, noneFits(list)
		}
		i.number = newest.String()
		if p, ok := i.at(ctx, i.number); ok {
			return p, nil
		}
	}
	if v, err := version.NewVersion(i.number); err == nil && i.Oldest != nil && v.LessThan(i.Oldest) {
		return Installed{}, fmt.Errorf("it is too old: %s or newer is needed", i.Oldest)
	}
	return i.bring(ctx)
}

// noneFits says what there is instead.
func noneFits(list []*version.Version) error {
	newest := newestOf(list, func(*version.Version) bool { return true })
	if newest == nil {
		return errors.New("no version is published there")
	}
	return fmt.Errorf("none of the %d published versions fits; the newest is %s", len(list), newest)
}

func newestOf(list []*version.Version, fits func(*version.Version) bool) *version.Version {
	var best *version.Version
	for _, v := range list {
		if fits(v) && (best == nil || v.GreaterThan(best)) {
			best = v
		}
	}
	return best
}

// present finds the newest installed program that is asked for. For no version in
// particular it is the network that knows which one is the newest.
func (i *installation) present(ctx context.Context) (Installed, bool) {
	if i.request.Constraint == "" {
		return Installed{}, false
	}
	entries, _ := os.ReadDir(filepath.Join(i.Root, string(i.request.Provisioner))) // none is there
	var list []*version.Version
	for _, e := range entries {
		if v, err := version.NewVersion(e.Name()); err == nil {
			list = append(list, v)
		}
	}
	v := newestOf(list, i.request.allows)
	if v == nil {
		return Installed{}, false
	}
	return i.at(ctx, v.Original())
}

// at is the installed program of a version, when it works.
func (i *installation) at(ctx context.Context, number string) (Installed, bool) {
	path := program.InstalledPath(i.Root, i.request.Provisioner, number)
	is, err := program.Version(ctx, i.request.Provisioner, path)
	if err != nil {
		return Installed{}, false
	}
	return Installed{Program: engine.Program{Provisioner: i.request.Provisioner, Path: path, Version: is}, Already: true}, true
}

// partial begins the names of folders in which is worked. No version begins so, and they
// are not where versions are looked for.
const partial = ".part-"

// bring downloads a version and gives it its place.
func (i *installation) bring(ctx context.Context) (_ Installed, err error) {
	leftovers, err := filepath.Glob(filepath.Join(i.Root, partial+"*"))
	if err != nil {
		return Installed{}, err
	}
	for _, dir := range leftovers { // of runs that were killed: nobody else has the lock
		if err := os.RemoveAll(dir); err != nil {
			return Installed{}, err
		}
	}
	work, err := os.MkdirTemp(i.Root, partial)
	if err != nil {
		return Installed{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	out := filepath.Join(work, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		return Installed{}, err
	}
	if err := i.fetch(ctx, i.number, out); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return Installed{}, err
	}
	name := i.request.Provisioner
	is, err := program.Version(ctx, name, filepath.Join(out, string(name)))
	if err != nil {
		return Installed{}, fmt.Errorf("what was downloaded: %w", err)
	}
	if is != i.number {
		return Installed{}, fmt.Errorf("what was downloaded says that it is version %s", is)
	}
	if err := synced(filepath.Join(out, string(name))); err != nil {
		return Installed{}, err
	}
	path := program.InstalledPath(i.Root, name, i.number)
	// A folder without a program that works is in the way of nothing.
	if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Dir(path)), 0o700), os.RemoveAll(filepath.Dir(path))); err != nil {
		return Installed{}, err
	}
	if err := os.Rename(out, filepath.Dir(path)); err != nil {
		return Installed{}, err
	}
	return Installed{Program: engine.Program{Provisioner: name, Path: path, Version: is}}, nil
}

// patience is how long servers may keep an install waiting altogether.
const patience = time.Hour
