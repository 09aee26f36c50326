package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"time"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// Purpose says what a configuration is loaded for.
type Purpose string

// The purposes. For a client only what leads to the daemon matters: secrets and
// files are not looked for, and no repository is needed.
const (
	ForServe  Purpose = ""
	ForClient Purpose = "client"
)

// Options says where a configuration comes from. The zero value loads built-in
// values only.
type Options struct {
	// Path is the file that was asked for (--config). "" means: $REEVE_CONFIG, ./reeve.yaml,
	// $XDG_CONFIG_HOME/reeve/reeve.yaml (or ~/.config/…), /etc/reeve/reeve.yaml,
	// the first that is there, or none.
	Path string
	// Bytes, when not nil, is the file's text; Path then only names it.
	Bytes []byte
	// Environ is the environment, as os.Environ gives it.
	Environ []string
	// Overrides are values from the command line.
	Overrides []Override
	Purpose   Purpose
}

// maxFileBytes keeps a wrong path from being read whole.
const maxFileBytes = 1 << 20

// Load reads the configuration. The list holds everything that is wrong with it,
// and warnings; when it has errors the Config is not to be used. The error says
// that a file could not be read at all.
func Load(o Options) (Config, diag.List, error) {
	c := builtIn(o.Environ)
	file, src, err := source(o)
	if err != nil {
		return Config{}, nil, err
	}
	c.File = file
	places := map[string]place{}
	var list diag.List
	if src != nil {
		c.Digest = digest(src)
		d := newDecoder(file, src, places)
		if n := d.parse(src); n != nil {
			d.value(n, reflect.ValueOf(&c).Elem(), "")
		}
		list = d.list
	}
	list = append(list, fromEnvironment(o.Environ, &c, places)...)
	list = append(list, fromOverrides(o.Overrides, &c, places)...)
	complete(&c, o.Environ)
	list = append(list, check(&c, o, places)...)
	return c, list.Sorted(), nil
}

// builtIn is the configuration that nobody has said anything about.
func builtIn(environ []string) Config {
	return Config{
		DataDir: dataDir(environ),
		Listen:  "127.0.0.1:7468",
		Engine:  Engine{PluginCache: true},
		Jobs: Jobs{
			Parallel:       max(2, runtime.NumCPU()),
			Timeouts:       Timeouts{Init: Duration(10 * time.Minute), Plan: Duration(30 * time.Minute), Apply: Duration(2 * time.Hour)},
			Grace:          Duration(2 * time.Minute),
			ApprovalExpiry: Duration(7 * 24 * time.Hour),
			Limits:         Limits{Log: 64 << 20},
			Retention:      Retention{Age: Duration(90 * 24 * time.Hour), Keep: 20},
		},
		Brake: Brake{Count: 10, Share: 0.3},
		Log:   Log{Level: LevelInfo, Format: FormatText},
	}
}

func dataDir(environ []string) string {
	if x, _ := lookup(environ, "XDG_DATA_HOME"); filepath.IsAbs(x) {
		return filepath.Join(x, "reeve")
	}
	if os.Geteuid() == 0 {
		return "/var/lib/reeve"
	}
	if home, _ := lookup(environ, "HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "reeve")
	}
	return ""
}

// complete fills in what follows from other values.
func complete(c *Config, environ []string) {
	c.DataDir = absolute(expand(c.DataDir, environ))
	if c.Socket == "" && c.DataDir != "" {
		c.Socket = filepath.Join(c.DataDir, "reeve.sock")
	}
	for _, p := range []*string{&c.Socket, &c.Engine.Terraform, &c.Engine.Tofu, &c.Engine.Pulumi, &c.Engine.CLIConfig} {
		*p = absolute(expand(*p, environ))
	}
	for i := range c.Engine.Folders {
		c.Engine.Folders[i] = expand(c.Engine.Folders[i], environ)
	}
	for i := range c.Tokens {
		t := &c.Tokens[i]
		if t.Role == "" {
			t.Role = RoleRead
		}
		t.ValueFrom.File = expand(t.ValueFrom.File, environ)
	}
	for name, v := range c.Jobs.Environment {
		v.File = expand(v.File, environ)
		c.Jobs.Environment[name] = v
	}
	for i := range c.Repositories {
		completeRepository(&c.Repositories[i], environ)
	}
}

func completeRepository(r *Repository, environ []string) {
	if r.Name == "" {
		r.Name = nameOf(r)
	}
	if r.Mode == "" {
		r.Mode = Committed
	}
	if r.PollInterval == 0 {
		r.PollInterval = Duration(time.Minute)
	}
	if r.Timeout == 0 {
		r.Timeout = Duration(2 * time.Minute)
	}
	k := &r.Credentials
	if k.Username == "" && !k.Token.IsZero() {
		k.Username = "git"
	}
	r.Forge = r.Forge.complete(r)
	f := &r.Forge
	for _, p := range []*string{&r.Path, &k.Token.File, &k.SSHKey.File, &k.SSHKey.Passphrase.File, &k.KnownHosts, &k.CAFile,
		&f.Token.File, &f.App.PrivateKey.File, &f.WebhookSecret.File, &f.PreviousWebhookSecret.File} {
		*p = expand(*p, environ)
	}
}

// expand puts the home folder for a leading "~/".
func expand(path string, environ []string) string {
	if len(path) > 1 && path[:2] == "~/" {
		if home, _ := lookup(environ, "HOME"); home != "" {
			return filepath.Join(home, path[2:])
		}
	}
	return path
}

// absolute says a path from the root: engines and runners work in folders of their own,
// where a path from the daemon's would lead elsewhere or nowhere. One that cannot be said
// so stays as it is.
func absolute(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// source finds and reads the file; nil when there is none and none was asked for.
func source(o Options) (file string, src []byte, err error) {
	if o.Bytes != nil {
		return o.Path, o.Bytes, nil
	}
	asked := o.Path
	if asked == "" {
		asked, _ = lookup(o.Environ, "REEVE_CONFIG")
	}
	if asked != "" {
		src, err := readFile(asked)
		if err != nil {
			return "", nil, fmt.Errorf("read configuration: %w", err)
		}
		return asked, src, nil
	}
	for _, path := range SearchPath(o.Environ) {
		src, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", nil, fmt.Errorf("read configuration: %w", err)
		}
		return path, src, nil
	}
	return "", nil, nil
}

// SearchPath lists where a configuration file is looked for when none is named.
func SearchPath(environ []string) []string {
	out := []string{"reeve.yaml"}
	if x, _ := lookup(environ, "XDG_CONFIG_HOME"); filepath.IsAbs(x) {
		out = append(out, filepath.Join(x, "reeve", "reeve.yaml"))
	} else if home, _ := lookup(environ, "HOME"); home != "" {
		out = append(out, filepath.Join(home, ".config", "reeve", "reeve.yaml"))
	}
	return append(out, "/etc/reeve/reeve.yaml")
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFileBytes {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("larger than 1 MiB, so it is no configuration")}
	}
	return b, nil
}
