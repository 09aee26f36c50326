package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/stackreeve/stackreeve/internal/app"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/schema/diag"
)

func newServe(c *cli) *cobra.Command {
	var listen, dataDir, repository string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon",
		Long: `serve follows the configured repositories, plans what changed, waits for whom the policy
names, and applies what was approved. It runs until it is interrupted; engines that are
at work then go on by themselves, and the next daemon takes them over.

The configuration file is read again when it changes, or the file of a token or of a job's variable
that it names, and on SIGHUP.`,
		Example: "  reeve serve --config reeve.yaml\n  reeve serve --repository ./infra",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var over []config.Override
			for flag, path := range map[string]string{"listen": "listen", "data-dir": "dataDir"} {
				if cmd.Flags().Changed(flag) {
					over = append(over, config.Override{Field: path, Value: map[string]string{"listen": listen, "data-dir": dataDir}[flag], Flag: "--" + flag})
				}
			}
			environ := c.environ
			if repository != "" {
				variable, err := repositoryVariable(repository)
				if err != nil {
					return err
				}
				environ = append(environ[:len(environ):len(environ)], variable+"="+repository)
			}
			return c.serve(cmd.Context(), environ, over)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "address of the HTTP listener (default 127.0.0.1:7468)")
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "folder of the database, mirrors, states and logs")
	cmd.Flags().StringVar(&repository, "repository", "", "follow this one repository: a URL or a folder")
	return cmd
}

// repositoryVariable is the variable that one repository is configured with.
func repositoryVariable(address string) (string, error) {
	if fi, err := os.Stat(address); err == nil && fi.IsDir() {
		return "REEVE_REPOSITORY_PATH", nil
	}
	if !strings.Contains(address, ":") { // neither https://host/path nor user@host:path
		return "", usage("--repository: %s is neither a folder nor a URL", address)
	}
	return "REEVE_REPOSITORY_URL", nil
}

func (c *cli) serve(ctx context.Context, environ []string, over []config.Override) error {
	c.environ = environ
	cfg, err := c.loadConfig(config.ForServe, over...)
	if err != nil {
		return err
	}
	if len(cfg.Repositories) == 0 && cfg.File == "" {
		return errors.New("no repository to follow: name one with --repository, or write a reeve.yaml (see `reeve schema config`)")
	}
	if len(cfg.Repositories) == 0 {
		_, _ = fmt.Fprintf(c.err, "%s names no repository yet; it is read again when it changes\n", cfg.File)
	}
	exe, err := app.Executable()
	if err != nil {
		return err
	}
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	return app.Serve(ctx, app.ServeOptions{
		Again:   again,
		Options: app.Options{Config: cfg, Executable: append(exe, "run-job"), Environ: environ, Version: thisBuild().Version, Log: newLogger(c.err, cfg.Log)},
		Load: func() (config.Config, diag.List, error) {
			return config.Load(config.Options{Path: cfg.File, Environ: environ, Overrides: over})
		},
		Ready: func(addr string) {
			_, _ = fmt.Fprintf(c.err, "reeve %s listens on http://%s and on %s\n", thisBuild().Version, addr, cfg.Socket)
		},
	})
}

func newLogger(w io.Writer, l config.Log) *slog.Logger {
	o := &slog.HandlerOptions{Level: map[config.Level]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo,
		"warn": slog.LevelWarn, "error": slog.LevelError}[l.Level]}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
