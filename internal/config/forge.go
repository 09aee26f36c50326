package config

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"
)

// hosts are those whose program everybody knows.
var hosts = map[string]ForgeKind{"github.com": GitHub, "gitlab.com": GitLab, "gitea.com": Gitea, "codeberg.org": Gitea}

// IsZero tells whether a repository's pull requests are followed.
func (f Forge) IsZero() bool { return f == Forge{} }

// complete fills in what the repository's URL tells.
func (f Forge) complete(r *Repository) Forge {
	if f.IsZero() {
		return f
	}
	scheme, host, path := remoteParts(r.URL)
	if f.URL == "" && host != "" {
		if scheme != "http" {
			scheme = "https"
		}
		f.URL = scheme + "://" + host
	}
	if f.Repository == "" {
		f.Repository = path
	}
	if f.Kind == "" {
		if u, err := url.Parse(f.URL); err == nil {
			f.Kind = hosts[strings.TrimPrefix(u.Hostname(), "www.")]
		}
	}
	if f.PollInterval == 0 {
		f.PollInterval = Duration(time.Minute)
	}
	return f
}

// remoteParts are what a Git URL tells of the forge behind it: an ssh host is that of
// its pages, without the port.
func remoteParts(remote string) (scheme, host, path string) {
	if scpLike.MatchString(remote) && !strings.Contains(remote, "://") {
		before, after, _ := strings.Cut(remote, ":")
		return "ssh", before[strings.LastIndex(before, "@")+1:], trimPath(after)
	}
	u, err := url.Parse(remote)
	if err != nil || u.Host == "" {
		return "", "", ""
	}
	if u.Scheme == "http" || u.Scheme == "https" {
		return u.Scheme, u.Host, trimPath(u.Path)
	}
	return u.Scheme, u.Hostname(), trimPath(u.Path)
}

func trimPath(p string) string {
	return strings.Trim(strings.TrimSuffix(strings.TrimRight(p, "/"), ".git"), "/")
}

// isAbsent tells that the file of a secret is not there: as long as no secret was
// replaced there is no previous one.
func (s SecretSource) isAbsent() bool {
	if s.File == "" || s.Env != "" {
		return false
	}
	_, err := os.Stat(s.File)
	return errors.Is(err, fs.ErrNotExist)
}

// WebhookSecrets reads the secrets with which deliveries may be signed, the one that is
// used now first. A file of the previous secret that is not there is none.
func (f Forge) WebhookSecrets(environ []string) ([]Secret, error) {
	var out []Secret
	if !f.WebhookSecret.IsZero() {
		s, err := f.WebhookSecret.Read(environ)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if p := f.PreviousWebhookSecret; !p.IsZero() && !p.isAbsent() {
		s, err := p.Read(environ)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// forge checks where the pull requests are.
func (k *checker) forge(p string, r *Repository) {
	f := r.Forge
	if f.IsZero() {
		return
	}
	if r.Path != "" {
		k.invalid(p, "a local folder has no pull requests", "a repository with a url")
		return
	}
	u, err := url.Parse(f.URL)
	switch {
	case f.URL == "":
		k.missing(p, "url", "the address of the forge, such as https://git.example.com")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		k.invalid(p+".url", "it is not the address of a forge", "https://HOST, with a path when the forge is below one")
	case u.User != nil:
		k.invalid(p+".url", "it holds a user name or password", "an address without them; the account is told by token or app")
	}
	if _, said := k.places[p+".kind"]; f.Kind == "" && !said { // what was said and is none is a finding already
		k.missing(p, "kind", `"github", "gitlab" or "gitea", as the host does not tell`)
	}
	switch {
	case f.Repository == "":
		k.missing(p, "repository", "owner/name")
	case !strings.Contains(f.Repository, "/"):
		k.invalid(p+".repository", quoted(f.Repository), "owner/name, or a GitLab project's whole path")
	}
	switch app := f.App; {
	case f.Token.IsZero() && app == GitHubApp{}:
		k.missing(p, "token", "token: {env: NAME} or token: {file: PATH}")
	case !f.Token.IsZero() && app != GitHubApp{}:
		k.invalid(p, "both a token and an app are given", "one of them")
	case !f.Token.IsZero():
		k.secret(p+".token", f.Token)
	case f.Kind != GitHub && f.Kind != "":
		k.invalid(p+".app", "only GitHub has Apps", "a token")
	default:
		if app.ID == "" {
			k.missing(p+".app", "id", "the App's id or client id")
		}
		if app.PrivateKey.IsZero() {
			k.missing(p+".app", "privateKey", "privateKey: {file: PATH}")
		} else {
			k.secret(p+".app.privateKey", app.PrivateKey)
		}
	}
	for _, s := range []struct {
		name string
		from SecretSource
	}{{".webhookSecret", f.WebhookSecret}, {".previousWebhookSecret", f.PreviousWebhookSecret}} {
		if s.from.IsZero() || s.name == ".previousWebhookSecret" && s.from.isAbsent() {
			continue
		}
		if s.from.isAbsent() {
			k.invalid(p+s.name+".file", "the file "+s.from.File+" is not there", "`reeve forge connect "+r.Name+" --url https://HOST` makes it, with HOST where the forge reaches the daemon; without webhookSecret the daemon polls alone")
			continue
		}
		if v, ok := k.secret(p+s.name, s.from); ok && len(v.Reveal()) < MinSecretLength {
			k.invalid(p+s.name, "the secret is too short", "at least 16 characters; `reeve forge connect` makes a good one")
		}
	}
	if f.WebhookSecret.IsZero() && !f.PreviousWebhookSecret.IsZero() {
		k.missing(p, "webhookSecret", "the secret that is used now")
	}
	if f.PollInterval.Std().Seconds() < 1 {
		k.invalid(p+".pollInterval", f.PollInterval.String(), "1s or more")
	}
}
