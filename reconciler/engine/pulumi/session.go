package pulumi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/blang/semver"
	"github.com/google/uuid"
	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/events"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
	sdk "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner/sweep"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// OldestVersion is the first engine whose event stream and flags are what we use
// (--config-file for previews with --event-log to a listener).
const OldestVersion = "3.206.0"

// session is the Automation API for one phase.
type session struct {
	phase *phase
	cmd   *command
	// stack is the stack in the folder of its program; it was selected.
	stack auto.Stack
}

// open makes the session. Nothing is started.
func (p *phase) open(ctx context.Context) (*session, error) {
	t := p.task
	v, err := semver.ParseTolerant(t.Program.Version)
	if err != nil {
		return nil, fmt.Errorf("version of %s: %w", t.Program, err)
	}
	if _, err := telling.CheckProgram(t.Program, OldestVersion); err != nil {
		return nil, err
	}
	grace := t.Grace
	if grace <= 0 {
		grace = defaultGrace
	}
	s := &session{phase: p, cmd: &command{phase: p, path: t.Program.Path, version: v, env: p.environment(), grace: grace}}
	opts := []auto.LocalWorkspaceOption{auto.Pulumi(s.cmd), auto.WorkDir(p.program), auto.PulumiHome(p.home())}
	if p.runsNothing() {
		// The empty program runs in this process: it needs no language host, and no code of
		// the author's, to destroy what it made.
		opts = append(opts, auto.Program(func(*sdk.Context) error { return nil }))
	}
	ws, err := auto.NewLocalWorkspace(ctx, opts...)
	if err != nil {
		return nil, err
	}
	s.stack, err = auto.SelectStack(ctx, p.stack.name(), ws) // answered without a process
	return s, err
}

func (p *phase) isDestroy() bool { return p.task.Action == stackjob.Destroy }

// runsNothing tells that the phase needs no program but the empty one, and no config.
func (p *phase) runsNothing() bool { return p.isDestroy() || p.task.Phase == engine.PhaseRestore }

// home is PULUMI_HOME.
func (p *phase) home() string {
	if p.task.Pulumi.Home != "" {
		return p.task.Pulumi.Home
	}
	return filepath.Join(p.at.workspace, "home")
}

// environment is the engine's: the task's, and what the driver itself must set.
func (p *phase) environment() map[string]string {
	env := maps.Clone(p.task.Env)
	if env == nil {
		env = map[string]string{}
	}
	s := p.task.Pulumi
	env["PULUMI_HOME"] = p.home()
	env["PULUMI_BACKEND_URL"] = engineURL(p.stack.url)
	if p.stack.password != "" {
		env["PGPASSWORD"] = p.stack.password
	}
	if p.stack.isService() {
		// Pulumi writes a token down that it was given in the environment.
		env["PULUMI_CREDENTIALS_PATH"] = p.at.credentials()
	}
	delete(env, "PULUMI_CONFIG_PASSPHRASE_FILE")
	delete(env, "PULUMI_STACK")
	if s.SecretsProvider == passphrase {
		env["PULUMI_CONFIG_PASSPHRASE"] = s.Passphrase
	}
	if s.NoPluginDownload {
		env["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
	}
	if p.isOwnFile() {
		env[noCheckpointBackups] = "true"
	}
	if s.StackInput && !p.runsNothing() {
		env[stackInputVariable] = filepath.Join(p.at.private, stackInputFile)
	}
	// Language hosts lie beside the engine.
	env["PATH"] = p.searchPath()
	if env[sweep.Variable] == "" {
		env[sweep.Variable] = uuid.NewString() // by which its plugins are found
	}
	return env
}

func (p *phase) searchPath() string {
	path := filepath.Dir(p.task.Program.Path)
	if old := p.task.Env["PATH"]; old != "" {
		path += string(filepath.ListSeparator) + old
	}
	return path
}

// failed is the error of a call of the Automation API. Its own errors quote all that the
// process printed, secrets too, so only what we heard is told.
func (s *session) failed(ctx context.Context, err error, what string, v *voice) error {
	if err == nil && v.programFailed() {
		return telling.Author(stackjob.ReasonEngine, v.firstSummary(), v.failureText())
	}
	if err == nil {
		return nil
	}
	if s.cmd.failure != nil {
		return engineProblem(ctx, s.cmd.failure, what, v)
	}
	if cause := context.Cause(ctx); cause != nil {
		return engineProblem(ctx, cause, what, v)
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Errorf("%s by the Automation API: %s", what, first)
}

// prepareRun readies the command for the next process.
func (s *session) prepareRun(v *voice, extra ...string) {
	s.cmd.operation, s.cmd.heard, s.cmd.extra, s.cmd.loud, s.cmd.failure = v.operation, v, extra, false, nil
}

// preview makes a plan and saves it at file.
func (s *session) preview(ctx context.Context, v *voice, file string) error {
	var extra []string
	if s.phase.isKMS() {
		// Nobody but the engine can read what such a provider encrypted. The plan then
		// holds secrets in clear, as Terraform's do.
		extra = append(extra, "--show-secrets")
	}
	s.prepareRun(v, extra...)
	return s.failed(ctx, v.following(func(ch chan<- events.EngineEvent) error {
		opts := []optpreview.Option{optpreview.Plan(file), optpreview.ConfigFile(s.phase.at.settingsFile()), optpreview.Color("never"),
			optpreview.SuppressProgress(), optpreview.SuppressOutputs(), optpreview.EventStreams(ch)}
		if !s.phase.task.SkipRefresh {
			opts = append(opts, optpreview.Refresh())
		}
		_, err := s.stack.Preview(ctx, opts...)
		return err
	}), "plan", v)
}

// up applies the plan saved at file.
func (s *session) up(ctx context.Context, v *voice, file string, refresh bool) error {
	s.prepareRun(v)
	return s.failed(ctx, v.following(func(ch chan<- events.EngineEvent) error {
		opts := []optup.Option{optup.Plan(file), optup.ConfigFile(s.phase.at.settingsFile()), optup.Color("never"),
			optup.SuppressProgress(), optup.SuppressOutputs(), optup.EventStreams(ch)}
		if refresh {
			opts = append(opts, optup.Refresh())
		}
		_, err := s.stack.Up(ctx, opts...)
		return err
	}), string(v.operation), v)
}

// run runs a command that has no events; stdin may be nil.
func (s *session) run(ctx context.Context, v *voice, dir string, stdin []byte, loud bool, args ...string) (string, error) {
	s.prepareRun(v)
	s.cmd.loud = loud
	var env []string
	for k, val := range s.stack.Workspace().GetEnvVars() {
		env = append(env, k+"="+val)
	}
	// An empty input is an end of input: nothing may wait for an answer.
	out, _, _, err := s.cmd.Run(ctx, dir, bytes.NewReader(stdin), nil, nil, env, args...)
	return out, s.failed(ctx, err, strings.Join(wordsOf(args), " "), v)
}

// install runs a program that installs what the program depends on.
func (s *session) install(ctx context.Context, v *voice, do invocation) error {
	s.prepareRun(v)
	s.cmd.loud = true
	do.env, do.stdin = environmentOf(installEnvironment(s.cmd.env), nil), bytes.NewReader(nil)
	_, _, _, err := s.cmd.start(ctx, do)
	return s.failed(ctx, err, "install", v)
}

// saysNoStack tells whether a failure says that there is no such stack.
func saysNoStack(err error) bool { return says(err, "no stack named") }

// stackExists is what backends of files and databases say, and what Pulumi Cloud does.
var stackExists = regexp.MustCompile(`stack (named \S+|'[^']+') already exists`)

// saysStackExists tells whether a failure says that there is such a stack already.
func saysStackExists(err error) bool {
	var pr *telling.Problem
	return errors.As(err, &pr) && stackExists.MatchString(pr.Failure.Text)
}

// saysFirstUse tells whether a failure says that somebody set up the backend's database in
// the same moment.
func saysFirstUse(err error) bool {
	var pr *telling.Problem
	return errors.As(err, &pr) && telling.IsFirstUse(pr.Failure.Text)
}

func says(err error, sentence string) bool {
	var pr *telling.Problem
	return errors.As(err, &pr) && strings.Contains(strings.ToLower(pr.Failure.Text), sentence)
}
