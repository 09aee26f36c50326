package app

import (
	"context"
	"fmt"
	"net/url"

	"github.com/stackreeve/stackreeve/gitsource/forge"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/internal/config"
)

// checkForge asks a forge who the credentials stand for and whether they can do what the
// daemon needs. The later questions are left out when an earlier one got no answer.
func checkForge(ctx context.Context, f forge.Repository, r config.Repository) []Check {
	const renew = "check forge.url, forge.repository and the token or App in reeve.yaml"
	self, err := f.Self(ctx)
	if err != nil {
		return []Check{{Name: "account", Health: Missing, Detail: oneLine(err), Fix: renew}}
	}
	out := []Check{{Name: "account", Health: Well, Detail: self.Login + " on " + r.Forge.URL}}
	open, err := f.OpenPullRequests(ctx)
	if err != nil {
		return append(out, Check{Name: "pull requests", Health: Missing, Detail: oneLine(err), Fix: renew})
	}
	out = append(out, Check{Name: "pull requests", Health: Well, Detail: fmt.Sprintf("%d open in %s", len(open), f.Name())})
	if r.Forge.App != (config.GitHubApp{}) {
		return append(out, Check{Name: "permission", Health: Well, Detail: "that of the App's installation"})
	}
	may, err := f.Permission(ctx, self.Login)
	give := "give " + self.Login + " the right to write to the repository: it sets commit statuses, and asks what people are allowed"
	switch {
	case err != nil: // GitHub tells nobody who may not write
		out = append(out, Check{Name: "permission", Health: Missing, Detail: oneLine(err), Fix: give})
	case may != forge.Write && may != forge.Admin:
		out = append(out, Check{Name: "permission", Health: Missing, Detail: fmt.Sprintf("%s has the permission %q", self.Login, may), Fix: give})
	case may != forge.Admin && f.Kind() == forge.Gitea:
		out = append(out, Check{Name: "permission", Health: Missing, Detail: fmt.Sprintf("%s has the permission %q", self.Login, may),
			Fix: "make " + self.Login + " an administrator of the repository: Gitea tells nobody else what people are allowed"})
	default:
		out = append(out, Check{Name: "permission", Health: Well, Detail: string(may)})
	}
	return out
}

// checkForges looks at the forges of all repositories. address is where forges reach the
// daemon; "" leaves that to the names that the configuration has for it.
func checkForges(ctx context.Context, c config.Config, environ []string, address string, doing Doing) []Check {
	var out []Check
	for _, r := range c.Repositories {
		if r.Forge.IsZero() {
			continue
		}
		doing.tell("asking the forge of " + r.Name)
		ctx, cancel := context.WithTimeout(ctx, reachTimeout)
		out = append(out, checkForgeOf(ctx, c, r, environ, address)...)
		cancel()
	}
	return out
}

func checkForgeOf(ctx context.Context, c config.Config, r config.Repository, environ []string, address string) []Check {
	name := "forge of " + r.Name
	f, err := openForge(r, environ, newTransport(r.Forge.Kind, nil))
	if err != nil {
		return []Check{{Name: name, Health: Missing, Detail: oneLine(err), Fix: "correct the forge of this repository in reeve.yaml"}}
	}
	checks := checkForge(ctx, f, r)
	one := Check{Name: name, Health: Well}
	for i, ch := range checks {
		if ch.Health != Well {
			one.Health, one.Detail, one.Fix = ch.Health, ch.Name+": "+ch.Detail, ch.Fix
			return []Check{one}
		}
		if i > 0 {
			one.Detail += ", "
		}
		one.Detail += ch.Name + ": " + ch.Detail
	}
	return []Check{one, checkWebhook(ctx, f, c, r, environ, address)}
}

// checkWebhook tells whether the forge tells the daemon what happens. Polling alone is
// enough for all but speed, so nothing here is missing.
func checkWebhook(ctx context.Context, f forge.Repository, c config.Config, r config.Repository, environ []string, address string) Check {
	ch := Check{Name: "webhook of " + r.Name, Health: Unwell}
	connect := "register it with `reeve forge connect " + r.Name + " --url https://HOST`"
	if r.Forge.WebhookSecret.IsZero() {
		ch.Health, ch.Detail = Well, "polling alone, every "+r.Forge.PollInterval.String()+": no webhookSecret is configured"
		return ch
	}
	if _, err := r.Forge.WebhookSecrets(environ); err != nil {
		ch.Detail, ch.Fix = oneLine(err), "make it with `reeve forge connect "+r.Name+" --url https://HOST`"
		return ch
	}
	candidates := []string{address}
	if address == "" {
		candidates = nil
		for _, h := range c.AllowedHosts {
			candidates = append(candidates, "https://"+h, "http://"+h)
		}
	}
	if len(candidates) == 0 {
		ch.Detail, ch.Fix = "where the forge reaches the daemon is not known, so its webhook cannot be looked for", "call `reeve doctor --url https://HOST`, or name the host in allowedHosts"
		return ch
	}
	for _, base := range candidates {
		to, err := hookAddress(base, r.Name)
		if err != nil {
			ch.Detail, ch.Fix = err.Error(), "correct --url"
			return ch
		}
		hooks, err := f.Webhooks(ctx, to)
		switch {
		case err != nil:
			ch.Detail, ch.Fix = oneLine(err), "the account may not see webhooks; look for it on the forge"
			return ch
		case len(hooks) > 0 && !hooks[0].Active:
			ch.Detail, ch.Fix = to+" is switched off: polling alone, every "+r.Forge.PollInterval.String(), "switch it on on the forge, or "+connect
			return ch
		case len(hooks) > 0:
			ch.Health, ch.Detail = Well, "delivers to "+to
			return ch
		}
	}
	ch.Detail, ch.Fix = "none delivers to this daemon: polling alone, every "+r.Forge.PollInterval.String(), connect
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		ch.Detail = "none delivers to " + u.Scheme + "://" + u.Host + ": polling alone, every " + r.Forge.PollInterval.String()
	}
	return ch
}

// checkGit looks for the program that merges.
func checkGit(ctx context.Context, c config.Config) Check {
	p, err := gitmirror.FindProgram(ctx)
	if err == nil {
		return Check{Name: "git", Health: Well, Detail: p.Version + " (" + p.Path + ")"}
	}
	ch := Check{Name: "git", Health: Unwell, Detail: oneLine(err), Fix: "install git; only pull requests need it"}
	for _, r := range c.Repositories {
		if !r.Forge.IsZero() {
			ch.Health, ch.Fix = Missing, "install git"
		}
	}
	return ch
}
