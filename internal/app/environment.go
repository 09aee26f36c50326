package app

import (
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/internal/config"
)

// always are the variables of the daemon's environment that every job gets: what
// a program needs to run at all, and to reach servers through the site's proxies
// and certificate authorities. None of them is a credential.
var always = []string{"PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "USER", "LOGNAME"}

// jobEnvironment is the whole environment of engines: an allow-list, never the
// daemon's own. secrets are the values that must be masked in logs.
func jobEnvironment(c config.Config, environ []string) (env map[string]string, secrets []string, err error) {
	home := filepath.Join(c.DataDir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the jobs' home: %w", err)
	}
	// An own HOME: credentials and settings of the daemon's user are no part of
	// a job unless the configuration says so.
	env = map[string]string{"HOME": home, "CHECKPOINT_DISABLE": "1"}
	for _, kv := range environ {
		name, value, ok := strings.Cut(kv, "=")
		// A glob may reach too far.
		if ok && value != "" && allowed(name, c.Jobs.PassEnvironment) && !config.EngineOwned(name) {
			env[name] = value
			if !slices.Contains(always, name) && looksSecret(name) {
				secrets = append(secrets, value)
			}
		}
	}
	for name, v := range c.Jobs.Environment {
		switch {
		case v.Env != "":
			value, ok := lookup(environ, v.Env)
			if !ok {
				return nil, nil, fmt.Errorf("jobs.environment.%s: the variable %s is not set", name, v.Env)
			}
			env[name], secrets = value, append(secrets, value)
		case v.File != "":
			b, err := os.ReadFile(v.File)
			if err != nil {
				return nil, nil, fmt.Errorf("jobs.environment.%s: %w", name, err)
			}
			value := strings.TrimRight(string(b), "\r\n")
			env[name], secrets = value, append(secrets, value)
		default:
			env[name] = v.Value
		}
	}
	for _, s := range slices.Clone(secrets) {
		secrets = append(secrets, passwordsIn(s)...)
	}
	if c.Engine.CLIConfig != "" {
		env["TF_CLI_CONFIG_FILE"] = c.Engine.CLIConfig
	}
	return env, secrets, nil
}

func allowed(name string, patterns []string) bool {
	if slices.Contains(always, name) {
		return true
	}
	for _, p := range patterns {
		if ok, err := path.Match(p, name); err == nil && ok {
			return true
		}
	}
	return false
}

// looksSecret tells whether a variable passed on by name probably holds a
// credential, so that its value is masked. Masking too much only blurs a log.
func looksSecret(name string) bool {
	name = strings.ToUpper(name)
	for _, w := range []string{"SECRET", "TOKEN", "PASSWORD", "PASSWD", "PRIVATE", "CREDENTIAL", "ACCESS_KEY", "API_KEY", "APIKEY"} {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}

// passwordIn is a password in a database's connection string of words.
var passwordIn = regexp.MustCompile(`(?:^|\s)password\s*=\s*('(?:[^'\\]|\\.)*'|\S+)`)

// passwordsIn are the parts of a secret that are secret by themselves: the password
// of a URL or of a connection string. A program that got the whole may print the part.
func passwordsIn(secret string) []string {
	var out []string
	if u, err := url.Parse(secret); err == nil && u.User != nil {
		if p, ok := u.User.Password(); ok && p != "" {
			out = append(out, p)
			if _, encoded, ok := strings.Cut(u.User.String(), ":"); ok && encoded != p {
				out = append(out, encoded)
			}
		}
	} else if _, rest, ok := strings.Cut(secret, "://"); ok {
		// One that is not quite a URL is just what programs complain about.
		if user, _, ok := strings.Cut(rest, "@"); ok {
			if _, p, ok := strings.Cut(user, ":"); ok && p != "" {
				out = append(out, p)
			}
		}
	}
	for _, m := range passwordIn.FindAllStringSubmatch(secret, -1) {
		if p := strings.Trim(m[1], "'"); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func lookup(environ []string, name string) (string, bool) {
	for i := len(environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return v, true
		}
	}
	return "", false
}

// lockOwner is this account on this machine as engines write it into a state
// lock: "user@host".
func lockOwner() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	return u.Username + "@" + host
}
