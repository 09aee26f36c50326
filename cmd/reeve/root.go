package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
	"golang.org/x/term"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/schema/diag"
)

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// isTerminal tells whether out is a person's screen.
func (s streams) isTerminal() bool {
	f, ok := s.out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// cli is what all commands share: the global flags and where they lead.
type cli struct {
	streams
	environ    []string
	configFile string
	output     string
	context    string
	contextSet bool
	server     string
	tokenFile  string
	noColor    bool
}

func newRoot(s streams, environ []string) *cobra.Command {
	c := &cli{streams: s, environ: environ}
	root := &cobra.Command{
		Use:   "reeve",
		Short: "GitOps reconciler for infrastructure",
		Long: `reeve keeps infrastructure as a config repository says: it plans every change with
Terraform, OpenTofu or Pulumi, asks whom the policy names, and applies exactly what was approved.

Exit codes: 0 done, 1 findings, 2 wrong usage, 3 the work could not be done.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	f := root.PersistentFlags()
	f.StringVar(&c.configFile, "config", "", "configuration file (default: $REEVE_CONFIG, ./reeve.yaml, then the user's and the system's)")
	f.StringVarP(&c.output, "output", "o", "text", "output format: text, json or yaml")
	f.Var(&contextFlag{c}, "context", "show only this organization or environment: org or org/env")
	f.StringVar(&c.server, "server", "", "address of the daemon, http://host:port (default: the local socket)")
	f.StringVar(&c.tokenFile, "token-file", "", "file with the API token for --server (or $REEVE_TOKEN)")
	f.BoolVar(&c.noColor, "no-color", false, "no colours (also with $NO_COLOR)")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Name() != "serve" && !signal.Ignored(syscall.SIGHUP) {
			// A terminal that is closed stops a command as Ctrl-C does, so that a plan
			// or a demo leaves no engine behind. To serve it means: read again.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
			context.AfterFunc(ctx, stop)
			cmd.SetContext(ctx)
		}
		switch c.output {
		case "text", "json", "yaml":
			return nil
		}
		return usage("output format %q: expected text, json or yaml", c.output)
	}
	root.AddCommand(
		newServe(c), newDemo(c), newValidate(c), newPlan(c), newDiff(c), newGet(c), newLogs(c),
		newApprove(c), newReject(c), newCancel(c), newRerun(c), newUnlock(c), newPoll(c), newExplain(c), newGraph(c), newState(c),
		newEngine(c), newForge(c), newComment(c), newSchema(c), newContext(c), newDoctor(c), newVersion(c),
	)
	fixed := func(list ...string) completion {
		return cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)
	}
	for flag, complete := range map[string]completion{"output": fixed("text", "json", "yaml"), "context": c.completeContexts()} {
		if err := root.RegisterFlagCompletionFunc(flag, complete); err != nil {
			panic(err) // the flag is defined above
		}
	}
	root.InitDefaultCompletionCmd()
	tagErrors(root)
	return root
}

// tagErrors marks what a command returns as "could not work", so that it differs
// from cobra's own refusals, which are wrong usage.
func tagErrors(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		tagErrors(sub)
	}
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			err := inner(cmd, args)
			var e *exit
			if err == nil || errors.As(err, &e) {
				return err
			}
			switch {
			case errors.Is(err, context.Canceled) && cmd.Context().Err() != nil:
				err = errors.New("interrupted")
			case errors.Is(err, api.ErrUnauthenticated):
				err = unauthenticated(err)
			case errors.Is(err, api.ErrInvalid):
				return &exit{code: exitUsage, err: err}
			}
			return &exit{code: exitFailed, err: err}
		}
	}
}

// unauthenticated says how a token is given.
func unauthenticated(err error) error {
	var p *api.Problem
	if !errors.As(err, &p) {
		return err
	}
	return fmt.Errorf("%s; give it with --token-file or $REEVE_TOKEN", p.Code.Title())
}

func (c *cli) getenv(name string) string {
	for i := len(c.environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(c.environ[i], name+"="); ok {
			return v
		}
	}
	return ""
}

func (c *cli) color() bool {
	return !c.noColor && c.getenv("NO_COLOR") == "" && c.isTerminal()
}

// loadConfig reads the configuration; findings are printed and end the command.
func (c *cli) loadConfig(p config.Purpose, overrides ...config.Override) (config.Config, error) {
	cfg, found, err := config.Load(config.Options{Path: c.configFile, Environ: c.environ, Purpose: p, Overrides: overrides})
	if err != nil {
		return cfg, err
	}
	if len(found) > 0 {
		_, _ = io.WriteString(c.err, diag.Text(found, diag.TextOptions{Color: c.color()}))
	}
	if found.HasErrors() {
		return cfg, &exit{code: exitFailed, err: errors.New("the configuration has errors; nothing was started")}
	}
	return cfg, nil
}

// backend is the daemon that the command talks to.
func (c *cli) backend() (api.Backend, error) {
	o := api.Options{URL: c.server}
	if c.server != "" {
		token, err := c.token()
		if err != nil {
			return nil, err
		}
		o.Token = config.NewSecret(token)
		return api.NewClient(o), nil
	}
	cfg, err := c.loadConfig(config.ForClient)
	if err != nil {
		return nil, err
	}
	o.Socket = cfg.Socket
	return api.NewClient(o), nil
}

func (c *cli) token() (string, error) {
	if c.tokenFile == "" {
		return c.getenv("REEVE_TOKEN"), nil
	}
	b, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// filter is the context as a filter: --context, or what `reeve context use` kept. An
// empty --context shows everything.
func (c *cli) filter() (api.Filter, error) {
	ctx := c.context
	if !c.contextSet {
		var err error
		if ctx, err = savedContext(c.getenv); err != nil {
			return api.Filter{}, err
		}
	}
	return parseContext(ctx)
}

// contextFlag is --context, which differs from none when it is empty.
type contextFlag struct{ c *cli }

func (f *contextFlag) String() string {
	if f.c == nil {
		return ""
	}
	return f.c.context
}

func (f *contextFlag) Type() string { return "string" }

func (f *contextFlag) Set(s string) error {
	f.c.context, f.c.contextSet = s, true
	return nil
}

func parseContext(s string) (api.Filter, error) {
	if s == "" {
		return api.Filter{}, nil
	}
	org, env, _ := strings.Cut(s, "/")
	if org == "" || strings.Contains(env, "/") {
		return api.Filter{}, usage("context %q: expected org or org/env", s)
	}
	return api.Filter{Org: org, Env: env}, nil
}

// print writes v as JSON or YAML, or calls text for people.
func (c *cli) print(v any, text func(w io.Writer) error) error {
	switch c.output {
	case "json":
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	case "yaml":
		// Through JSON, so that both have the same names.
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		var plain any
		if err := yaml.Unmarshal(b, &plain); err != nil {
			return err
		}
		b, err = yaml.Marshal(plain)
		if err != nil {
			return err
		}
		_, err = c.out.Write(b)
		return err
	}
	return text(c.out)
}

// withBackend is the body of a command that asks the daemon.
func (c *cli) withBackend(ctx context.Context, do func(ctx context.Context, b api.Backend, f api.Filter) error) error {
	f, err := c.filter()
	if err != nil {
		return err
	}
	b, err := c.backend()
	if err != nil {
		return err
	}
	return do(ctx, b, f)
}
