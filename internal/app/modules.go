package app

import (
	"path/filepath"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/module"
	"github.com/stackreeve/stackreeve/gitsource/remote"
	"github.com/stackreeve/stackreeve/internal/config"
)

// moduleTimeout ends one exchange with a module's remote.
const moduleTimeout = 2 * time.Minute

// openModules opens the cache of module code.
func (a *App) openModules(c config.Config) (*module.Modules, error) {
	return module.New(module.Options{
		Cache: filepath.Join(c.DataDir, "code"), Source: a.source, Credentials: a.moduleCredentials, Timeout: moduleTimeout, Log: a.log,
	})
}

// source finds a followed repository.
func (a *App) source(name string) (gitsource.Source, bool) {
	a.sourcesMu.Lock()
	defer a.sourcesMu.Unlock()
	s, ok := a.sources[name]
	return s, ok
}

// moduleCredentials are those of the repository with the same URL: modules of other
// servers are read without credentials.
func (a *App) moduleCredentials(url string) remote.Credentials {
	for _, r := range a.config.Load().Repositories {
		if r.URL == url {
			return credentialsOf(r.Credentials)
		}
	}
	return remote.Credentials{Proxy: remote.ProxyFromEnvironment}
}
