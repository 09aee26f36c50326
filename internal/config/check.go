package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// minTokenLength is the shortest bearer token that is accepted.
const minTokenLength = 16

// MinSecretLength is the shortest webhook secret that is accepted, in bytes.
const MinSecretLength = 16

// checker looks at a whole configuration, where the decoder saw single values.
type checker struct {
	o      Options
	c      *Config
	places map[string]place
	list   diag.List
}

func check(c *Config, o Options, places map[string]place) diag.List {
	k := &checker{o: o, c: c, places: places}
	k.folders()
	k.listen()
	k.engine() // `reeve engine` is a client, too
	if o.Purpose == ForClient {
		return k.list
	}
	k.tokens()
	k.repositories()
	k.files()
	k.jobs()
	return k.list
}

// at points f at the value of a path, or at the nearest thing around it that somebody wrote.
func (k *checker) at(path string, f diag.Diagnostic) {
	at := path
	for {
		if p, ok := k.places[at]; ok && at != "" {
			f.Pos, f.Width, f.Line = p.pos, p.width, p.line
			break
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			f.Pos = diag.Position{File: k.c.File}
			if k.c.File == "" {
				f.Pos.File = "configuration"
			}
			break
		}
		at = at[:i]
	}
	k.list = append(k.list, f)
}

func (k *checker) invalid(path, detail, expected string) {
	k.at(path, diag.Diagnostic{Code: diag.InvalidValue, Detail: path + ": " + detail, Expected: expected})
}

func (k *checker) missing(path, field, expected string) {
	k.at(path, diag.Diagnostic{Code: diag.MissingField, Detail: field, Expected: expected})
}

func (k *checker) folders() {
	if k.c.DataDir == "" {
		k.missing("", "dataDir", "a folder, as neither $XDG_DATA_HOME nor $HOME tells where to keep data")
		return
	}
	// A unix socket's address has room for about a hundred bytes, and the kernel's own
	// message for a longer one is "invalid argument".
	const longest = 103
	if abs, err := filepath.Abs(k.c.Socket); err == nil && len(abs) > longest {
		k.invalid("socket", fmt.Sprintf("the path of the socket has %d bytes", len(abs)),
			fmt.Sprintf("at most %d; set socket to a shorter path", longest))
	}
}

func (k *checker) listen() {
	host, port, err := net.SplitHostPort(k.c.Listen)
	if err != nil {
		k.invalid("listen", quoted(k.c.Listen), `host:port, such as "127.0.0.1:7468" or "[::1]:7468"`)
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		k.invalid("listen", "port "+quoted(port), "a number from 0 to 65535")
		return
	}
	if k.o.Purpose == ForServe && !IsLoopback(host) && len(k.c.Tokens) == 0 {
		k.at("listen", diag.Diagnostic{Code: diag.MissingField, Detail: "tokens",
			Expected: "at least one token, because " + quoted(k.c.Listen) + " can be reached from other machines",
			Hint:     "add a token, or listen on 127.0.0.1"})
	}
	for i, h := range k.c.AllowedHosts {
		if h == "" || strings.ContainsAny(h, "/@ ") {
			k.invalid(fmt.Sprintf("allowedHosts[%d]", i), quoted(h), "a host name without scheme or path")
		}
	}
}

// IsLoopback tells whether a listener on host can be reached from this machine only.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

func (k *checker) tokens() {
	seen := map[string]int{}
	for i, t := range k.c.Tokens {
		p := fmt.Sprintf("tokens[%d]", i)
		if t.Name == "" {
			k.missing(p, "name", "the name that the token's acts are recorded under")
		} else if first, ok := seen[t.Name]; ok {
			k.duplicate(p+".name", fmt.Sprintf("tokens[%d].name", first), t.Name)
		} else {
			seen[t.Name] = i
		}
		if t.ValueFrom.IsZero() {
			k.missing(p, "valueFrom", "valueFrom: {env: NAME} or valueFrom: {file: PATH}")
			continue
		}
		s, ok := k.secret(p+".valueFrom", t.ValueFrom)
		if ok && len(s.Reveal()) < minTokenLength {
			k.invalid(p+".valueFrom", "the token is too short", fmt.Sprintf("at least %d characters; `openssl rand -hex 32` makes a good one", minTokenLength))
		}
	}
}

func (k *checker) duplicate(path, first, name string) {
	f := diag.Diagnostic{Code: diag.InvalidValue, Detail: path + ": the name " + quoted(name) + " is used twice"}
	if p, ok := k.places[first]; ok {
		f.Related = []diag.Related{{Pos: p.pos, Message: "first used here"}}
	}
	k.at(path, f)
}

// secret reads a secret to see that it is there.
func (k *checker) secret(path string, s SecretSource) (Secret, bool) {
	if s.Env != "" && s.File != "" {
		k.invalid(path, "both env and file are set", "one of them")
		return Secret{}, false
	}
	v, err := s.Read(k.o.Environ)
	switch {
	case err == nil:
		return v, true
	case s.Env != "":
		k.invalid(path+".env", "the environment variable "+s.Env+" is not set", "a variable that is set where the daemon starts")
	default:
		k.unreadable(path+".file", s.File, err)
	}
	return Secret{}, false
}

func (k *checker) unreadable(path, file string, err error) {
	why := err.Error()
	var pe *fs.PathError
	if errors.As(err, &pe) {
		why = pe.Err.Error()
	}
	k.invalid(path, "the file "+file+" cannot be read: "+why, "a file that the daemon's user can read")
}

var repositoryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func (k *checker) repositories() {
	seen := map[string]int{}
	for i := range k.c.Repositories {
		r, p := &k.c.Repositories[i], fmt.Sprintf("repositories[%d]", i)
		switch {
		case r.URL == "" && r.Path == "":
			k.missing(p, "url", "url or path")
			continue
		case r.URL != "" && r.Path != "":
			k.invalid(p, "both url and path are set", "one of them")
		case r.URL != "":
			k.url(p+".url", r)
		default:
			if st, err := os.Stat(r.Path); err != nil || !st.IsDir() {
				k.invalid(p+".path", "there is no folder "+r.Path, "a folder that exists")
			}
		}
		if first, ok := seen[r.Name]; ok {
			k.duplicate(p+".name", fmt.Sprintf("repositories[%d].name", first), r.Name)
		} else if seen[r.Name] = i; !repositoryName.MatchString(r.Name) {
			k.invalid(p+".name", quoted(r.Name), "letters, digits, dots, hyphens and underscores")
		}
		if r.URL != "" && r.Mode == Worktree {
			k.invalid(p+".mode", "only a path has a work tree", "committed")
		}
		if r.PollInterval.Std().Seconds() < 1 {
			k.invalid(p+".pollInterval", r.PollInterval.String(), "1s or more")
		}
		k.credentials(p+".credentials", r)
		k.forge(p+".forge", r)
	}
}

// scpLike is Git's short form of an ssh URL: user@host:path.
var scpLike = regexp.MustCompile(`^([A-Za-z0-9._-]+@)?[A-Za-z0-9.-]+:[^/\\].*$`)

func (k *checker) url(path string, r *Repository) {
	if scpLike.MatchString(r.URL) && !strings.Contains(r.URL, "://") {
		return
	}
	const want = "an https, http, ssh, git or file URL, or user@host:path"
	u, err := url.Parse(r.URL)
	if err != nil { // its text would quote the URL
		k.invalid(path, "it is not a URL", want)
		return
	}
	switch u.Scheme {
	case "ssh":
		if _, has := u.User.Password(); has {
			k.userinfo(path)
		}
	case "http", "https", "git":
		if u.User != nil {
			k.userinfo(path)
		}
	case "file":
		return
	default:
		k.invalid(path, "the scheme "+quoted(u.Scheme), want)
		return
	}
	if u.Host == "" {
		k.invalid(path, "it names no host", want)
	}
}

func (k *checker) userinfo(path string) {
	k.at(path, diag.Diagnostic{Code: diag.InvalidValue, Detail: path + ": the URL holds a user name or password",
		Expected: "a URL without credentials", Hint: "put them under credentials: {username: NAME, token: {file: PATH}}"})
	k.list[len(k.list)-1].Line = ""
}

func (k *checker) credentials(p string, r *Repository) {
	c := r.Credentials
	if !c.Token.IsZero() {
		k.secret(p+".token", c.Token)
	}
	if !c.SSHKey.Passphrase.IsZero() {
		if c.SSHKey.File == "" {
			k.missing(p+".sshKey", "file", "the key that the passphrase opens")
		}
		k.secret(p+".sshKey.passphrase", c.SSHKey.Passphrase)
	}
	if !c.Token.IsZero() && c.SSHKey.File != "" {
		k.invalid(p, "both a token and an ssh key are given", "the one that goes with the URL")
	}
	k.file(p+".sshKey.file", c.SSHKey.File)
	k.file(p+".knownHosts", c.KnownHosts)
	k.file(p+".caFile", c.CAFile)
}

// file tells whether a file that is named can be read; "" is no file.
func (k *checker) file(path, name string) {
	if name == "" {
		return
	}
	f, err := os.Open(name)
	if err != nil {
		k.unreadable(path, name, err)
		return
	}
	defer f.Close() //nolint:errcheck // it was only looked at
	if st, err := f.Stat(); err == nil && st.IsDir() {
		k.invalid(path, name+" is a folder", "a file")
	}
}

func (k *checker) files() {
	k.file("engine.terraform", k.c.Engine.Terraform)
	k.file("engine.tofu", k.c.Engine.Tofu)
	k.file("engine.pulumi", k.c.Engine.Pulumi)
	k.file("engine.cliConfig", k.c.Engine.CLIConfig)
}

// engine checks where engines are and where they come from.
func (k *checker) engine() {
	for i, dir := range k.c.Engine.Folders {
		if !filepath.IsAbs(dir) {
			k.invalid(fmt.Sprintf("engine.folders[%d]", i), quoted(dir), "an absolute path: what runs must not depend on where the daemon was started")
		}
	}
	for _, m := range []struct{ name, url string }{{"terraform", k.c.Engine.Mirrors.Terraform}, {"tofu", k.c.Engine.Mirrors.Tofu}, {"pulumi", k.c.Engine.Mirrors.Pulumi}} {
		p := "engine.mirrors." + m.name
		const want = "an address such as https://mirror.example.com/engines"
		if m.url == "" {
			continue
		}
		switch u, err := url.Parse(m.url); {
		case err != nil: // its text would quote the URL
			k.invalid(p, "it is not a URL", want)
		case u.User != nil:
			k.at(p, diag.Diagnostic{Code: diag.InvalidValue, Detail: p + ": the URL holds a user name or password", Expected: "a URL without credentials"})
			k.list[len(k.list)-1].Line = ""
		case u.Scheme != "http" && u.Scheme != "https":
			k.invalid(p, "the scheme "+quoted(u.Scheme), want)
		case u.Host == "":
			k.invalid(p, "it names no host", want)
		case u.RawQuery != "" || u.Fragment != "":
			k.invalid(p, "it has a query or a fragment", want)
			k.list[len(k.list)-1].Line = ""
		}
	}
}

var variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (k *checker) jobs() {
	if k.c.Jobs.Parallel < 1 {
		k.invalid("jobs.parallel", strconv.Itoa(k.c.Jobs.Parallel), "1 or more")
	}
	for i, g := range k.c.Jobs.PassEnvironment {
		if g == "" || strings.Contains(g, "=") || !doublestar.ValidatePattern(g) {
			k.invalid(fmt.Sprintf("jobs.passEnvironment[%d]", i), quoted(g), "the name of a variable, or a glob such as AWS_*")
		}
		if EngineOwned(g) {
			k.invalid(fmt.Sprintf("jobs.passEnvironment[%d]", i), quoted(g)+" belongs to the engine", "another variable; inputs are written in the manifests")
		}
	}
	for name, v := range k.c.Jobs.Environment {
		p := "jobs.environment." + name
		if !variablePattern.MatchString(name) {
			k.invalid(p, "the name of the variable", "letters, digits and underscores")
		}
		if EngineOwned(name) {
			k.invalid(p, "the variable belongs to the engine", "another variable; inputs are written in the manifests")
		}
		switch {
		case v.Value != "" && (v.Env != "" || v.File != ""):
			k.invalid(p, "more than one of value, env and file is set", "one of them")
		case v.Env != "" || v.File != "":
			k.secret(p, SecretSource{Env: v.Env, File: v.File})
		}
	}
}

// nameOf makes a name of the last part of a URL's or folder's path. Nothing before the path
// gets into it, for that is where people put passwords.
func nameOf(r *Repository) string {
	if r.URL == "" {
		s := r.Path
		if abs, err := filepath.Abs(s); err == nil {
			s = abs
		}
		return path.Base(filepath.ToSlash(s))
	}
	s := ""
	if u, err := url.Parse(r.URL); err == nil && u.Scheme != "" {
		s = u.Path
	} else if scpLike.MatchString(r.URL) {
		_, s, _ = strings.Cut(r.URL, ":")
	}
	s = path.Base(strings.TrimSuffix(strings.TrimRight(s, "/"), ".git"))
	if !repositoryName.MatchString(s) {
		return "repository"
	}
	return s
}
