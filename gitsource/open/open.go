// Package open makes a source from a configuration: a mirror of a URL, or a folder.
package open

import (
	"errors"
	"log/slog"
	"time"

	"github.com/stackreeve/stackreeve/gitsource"
	"github.com/stackreeve/stackreeve/gitsource/folder"
	"github.com/stackreeve/stackreeve/gitsource/gitmirror"
	"github.com/stackreeve/stackreeve/gitsource/remote"
)

// Options say where a repository is: exactly one of URL and Path.
type Options struct {
	Name, URL, Path string
	// Mode is for a Path.
	Mode folder.Mode
	// Branch is followed; "" is the remote's default branch, or the one checked out.
	Branch string
	// Cache is the folder for mirrors and copies.
	Cache       string
	Credentials remote.Credentials
	Timeout     time.Duration
	Log         *slog.Logger
	Metrics     *gitmirror.Metrics
}

// Source opens the repository. It does not connect.
func Source(o Options) (gitsource.Source, error) {
	switch {
	case o.URL != "" && o.Path != "", o.URL == "" && o.Path == "":
		return nil, errors.New("repository " + o.Name + ": name either a URL or a path")
	case o.Path != "":
		s, err := folder.New(folder.Options{Name: o.Name, Path: o.Path, Mode: o.Mode, Branch: o.Branch, Cache: o.Cache, Log: o.Log})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := gitmirror.New(gitmirror.Options{Name: o.Name, URL: o.URL, Branch: o.Branch, Cache: o.Cache,
		Credentials: o.Credentials, Timeout: o.Timeout, Log: o.Log, Metrics: o.Metrics})
	if err != nil {
		return nil, err
	}
	return s, nil
}
