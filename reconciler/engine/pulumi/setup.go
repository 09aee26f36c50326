package pulumi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/engine/farm"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// prepare shows the program in the workspace and readies the engine. Nothing is started.
func (p *phase) prepare(ctx context.Context) error {
	if err := checkPaths(p.task, p.at.private); err != nil {
		return err
	}
	if err := p.at.makeFolders(); err != nil {
		return fmt.Errorf("prepare the workspace: %w", err)
	}
	if err := p.showProgram(); err != nil {
		return err
	}
	var err error
	if p.record, err = p.at.readRecord(); err != nil {
		return err
	}
	s := p.task.Pulumi
	if s.SecretsProvider == passphrase && s.Passphrase == "" {
		return errors.New("the task has no passphrase for the stack's secrets")
	}
	p.keys = newKeyring(s.Passphrase, p.task.HashKey, p.record.Keys)
	if dir := p.stack.folder(); dir != "" {
		if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
			return err
		}
	}
	p.engine, err = p.open(ctx)
	return err
}

// showProgram makes the folders of the program and of the empty one.
func (p *phase) showProgram() error {
	t := p.task
	checkout := filepath.Join(t.ModuleRoot, filepath.FromSlash(t.ModulePath))
	var err error
	skip := made
	if st, serr := os.Stat(checkout); serr == nil && st.IsDir() {
		if p.project, err = readProject(checkout, orRoot(t.ModulePath)); err != nil {
			return err
		}
		skip = p.project.madeFolders()
	}
	f := farm.Farm{Folder: p.at.root, Record: p.at.farmFile, Skip: skip, Replaced: projectFiles, Copied: manifests}
	err = f.Plant(farm.Source{Root: t.ModuleRoot, Path: t.ModulePath, Revision: t.ModuleRevision})
	if errors.Is(err, farm.ErrNoModule) {
		return telling.Author(stackjob.ReasonModule, "no folder "+orRoot(t.ModulePath)+" at revision "+t.ModuleRevision,
			fmt.Sprintf("The program's folder %s does not exist at revision %s.\nCheck the program's path.", orRoot(t.ModulePath), t.ModuleRevision))
	}
	if err != nil {
		return err
	}
	name := p.project.name
	if t.Pulumi.Project != "" && t.Pulumi.Project != name {
		name = t.Pulumi.Project
		text, err := p.project.named(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(p.at.module, p.project.file), text, 0o600); err != nil {
			return err
		}
	}
	if p.stack, err = newStackAt(t.Pulumi.Organization, name, t.Pulumi.Stack, t.Pulumi.BackendURL, t.Env); err != nil {
		return err
	}
	empty, err := p.project.empty(name, p.at.module)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.at.emptyProgram(), "Pulumi.yaml"), empty, 0o600); err != nil {
		return err
	}
	p.program = p.at.module
	if p.runsNothing() {
		p.program = p.at.emptyProgram()
		return nil
	}
	return p.project.checkLanguage(t.Program, p.searchPath(), p.home())
}

func orRoot(p string) string {
	if p == "" {
		return "/ (the repository's root)"
	}
	return p
}

// recording says when an init that was not needed is on record too.
type recording int

const (
	recordAlways recording = iota
	recordWhenRun
)

// initialise makes the stack when there is none, and installs what the program depends
// on when that moved.
func (p *phase) initialise(ctx context.Context, rec recording) error {
	makes, err := p.makesStack()
	if err != nil {
		return err
	}
	needs := ""
	if !p.runsNothing() && p.project.installs() {
		if needs, err = p.project.dependencies(p.task.ModuleRoot, p.task.ModulePath); err != nil {
			return err
		}
	}
	if !makes && needs == p.record.Installed || !makes && needs == "" {
		err := p.settle(ctx)
		if !saysNoStack(err) {
			if rec == recordAlways {
				p.Skip(stackjob.OpInit)
			}
			return err
		}
		makes = true // it was removed since
	}
	op := p.Begin(stackjob.OpInit)
	ctx, cancel := telling.WithTimeout(ctx, p.task.Timeouts[stackjob.OpInit])
	defer cancel()
	p.engine.cmd.processes = 0
	if err = p.runInit(ctx, makes, needs); err == nil {
		err = p.settle(ctx)
	}
	op.Record.EngineProcesses = p.engine.cmd.processes
	if err != nil {
		op.Fail(err)
		return err
	}
	op.End(stackjob.ResultSucceeded, stackjob.Reason{})
	return nil
}

// makesStack tells whether the stack must be made. It refuses to make one where the
// state was moved away from: everything would be made a second time.
func (p *phase) makesStack() (bool, error) {
	place := facts.KeyedHash(p.task.HashKey, []byte(p.stack.where()))
	if file := p.stack.checkpoint(); file != "" {
		for _, name := range []string{file, file + ".gz"} {
			if _, err := os.Stat(name); err == nil {
				return false, nil
			}
		}
	} else if p.record.Place == place {
		return false, nil
	}
	if p.record.Held && p.record.Place != place {
		return true, telling.Person(stackjob.ReasonEngine, "the state's place moved", fmt.Sprintf(
			"The stack's state is now to be in another place (stack %s of the backend %s), where there is none, and where it was it holds resources.\n"+
				"A new stack would make everything a second time. Move the state with `pulumi stack export` and `pulumi stack import`, or take the change back.",
			p.stack.name(), p.stack.backend.Scheme))
	}
	return true, nil
}

func (p *phase) runInit(ctx context.Context, makes bool, needs string) error {
	// First, before the engine logs in anywhere: what packages bring runs then.
	if needs != "" && needs != p.record.Installed {
		if err := p.install(ctx, needs); err != nil {
			return err
		}
	}
	v := p.voice(stackjob.OpInit, nil)
	if makes {
		args := []string{"stack", "init", "--stack", p.stack.name(), "--no-select"}
		if sp := p.task.Pulumi.SecretsProvider; sp != "" && sp != "default" {
			args = append(args, "--secrets-provider="+sp)
		}
		_, err := p.engine.run(ctx, v, p.at.emptyProgram(), nil, true, args...)
		// Each of those who begin together may lose to another one: at the table, then at its index.
		for tries := 1; tries < telling.FirstUses && saysFirstUse(err); tries++ {
			p.Say(telling.FirstUseAgain)
			_, err = p.engine.run(ctx, p.voice(stackjob.OpInit, nil), p.at.emptyProgram(), nil, true, args...)
		}
		if err != nil && !saysStackExists(err) {
			return err
		}
		if p.isKMS() {
			// They are of the data key of a stack that is gone. (Of a passphrase they have the salt in their names.)
			p.record.Ciphertexts = nil
		}
		if err := p.takeSettings(); err != nil {
			return err
		}
	}
	return nil
}

// takeSettings takes what the engine wrote of how a new stack's secrets are kept.
func (p *phase) takeSettings() error {
	file := filepath.Join(p.at.emptyProgram(), "Pulumi."+p.stack.stack+".yaml")
	b, err := readIfThere(file)
	if err != nil || b == nil {
		return err
	}
	s, err := parseSettings(b)
	if err != nil {
		return fmt.Errorf("read the new stack's settings: %w", err)
	}
	p.record.Salt, p.record.SecretsProvider, p.record.EncryptedKey = s.EncryptionSalt, s.SecretsProvider, s.EncryptedKey
	return p.at.writeRecord(p.record)
}

// settle reads the state and writes the stack's settings for this phase.
func (p *phase) settle(ctx context.Context) error {
	d, err := p.readState(ctx, stackjob.OpInit)
	if errors.Is(err, errDamaged) {
		advice := "Put a backup back with `pulumi stack import`, or look at the file."
		if p.isOwnFile() {
			advice = fmt.Sprintf("`reeve state list %s` shows its backups, and `reeve state restore` puts one back.", p.task.Key)
		}
		return telling.Person(stackjob.ReasonStateDamaged, "", "The stack's state cannot be read.\nNothing was planned or applied. "+advice)
	}
	if err != nil {
		return err
	}
	p.before = d
	if err := p.findSettings(d); err != nil {
		return err
	}
	if s := d.salt(); s != "" && !p.isKMS() && bytes.Contains(d.raw, []byte(secretSignature)) {
		// The engine would open the state with the key of another salt, and say of a secret
		// that it has no value.
		if _, err := p.keys.crypter(s); errors.Is(err, errPassphrase) {
			return p.wrongPassphrase()
		}
	}
	p.hide(d, savedPlan{})
	if err := p.writeSettings(ctx); err != nil {
		return err
	}
	return p.remember(d)
}

// findSettings finds how the stack's secrets are kept: as the engine wrote when the stack
// was made, else as its state says, else anew.
func (p *phase) findSettings(d *deployment) error {
	r := &p.record
	if p.settings.EncryptionSalt != "" || p.settings.EncryptedKey != "" {
		return nil // the saved plan's
	}
	if p.isKMS() {
		if r.EncryptedKey == "" && d.SecretsProviders != nil && d.SecretsProviders.Type == "cloud" {
			var state struct {
				URL          string `json:"url"`
				EncryptedKey string `json:"encryptedkey"`
			}
			if err := json.Unmarshal(d.SecretsProviders.State, &state); err != nil {
				return fmt.Errorf("read the state's secrets provider: %w", err)
			}
			r.SecretsProvider, r.EncryptedKey = state.URL, state.EncryptedKey
		}
		p.settings = stackSettings{SecretsProvider: r.SecretsProvider, EncryptedKey: r.EncryptedKey}
		if sp := p.task.Pulumi.SecretsProvider; p.settings.SecretsProvider == "" && sp != "default" {
			p.settings.SecretsProvider = sp
		}
		return nil
	}
	if r.Salt == "" {
		r.Salt = d.salt()
	}
	if r.Salt == "" {
		random := make([]byte, 8)
		if _, err := rand.Read(random); err != nil {
			return err
		}
		var err error
		if r.Salt, err = p.keys.newSalt(random); err != nil {
			return err
		}
	}
	p.settings = stackSettings{EncryptionSalt: r.Salt}
	return nil
}

// writeSettings writes the settings with the config, for this user alone and this phase.
func (p *phase) writeSettings(ctx context.Context) error {
	if p.task.Pulumi.StackInput {
		// JSON is YAML. It is not there before what the program depends on was installed.
		if err := os.WriteFile(filepath.Join(p.at.private, stackInputFile), p.task.Inputs, 0o600); err != nil {
			return err
		}
	}
	kept := map[string]string{}
	config, err := p.config(func(text string) (string, error) { return p.encrypt(ctx, text, kept) })
	if errors.Is(err, errPassphrase) {
		return p.wrongPassphrase()
	}
	if err != nil {
		return err
	}
	s := p.settings
	s.Config = config
	text, err := s.text()
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.at.settingsFile(), text, 0o600); err != nil {
		return err
	}
	if !maps.Equal(kept, p.record.Ciphertexts) {
		p.record.Ciphertexts = kept
		return p.at.writeRecord(p.record)
	}
	return nil
}

// config is the stack's configuration, with what is secret encrypted.
func (p *phase) config(encrypt func(text string) (string, error)) (map[string]any, error) {
	t := p.task.Pulumi
	if p.task.Phase == engine.PhaseRestore || t.StackInput && p.isDestroy() {
		return nil, nil // nothing runs that reads it
	}
	if t.StackInput {
		v, ok, err := stackInputConfig(p.task.Inputs, p.project.runtime, t.SecretInput, encrypt)
		if err != nil {
			return nil, fmt.Errorf("make the configuration %s: %w", stackInputKey, err)
		}
		if !ok {
			return nil, nil
		}
		return map[string]any{stackInputKey: v}, nil
	}
	entries, err := configOf(p.task.Inputs, p.stack.project, t.SecretConfig)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, e := range entries {
		n := encryption{encrypt: encrypt}
		if out[e.key], err = n.of(e.value, "", e.secret); err != nil {
			return nil, fmt.Errorf("encrypt the config value %s: %w", e.key, err)
		}
	}
	return out, nil
}

// encrypt encrypts a text of the config. An equal text keeps its ciphertext.
func (p *phase) encrypt(ctx context.Context, text string, kept map[string]string) (string, error) {
	name := facts.KeyedHash(p.task.HashKey, []byte(p.settings.EncryptionSalt+"\x00"+text))
	c := p.record.Ciphertexts[name]
	if c == "" && p.isKMS() {
		var err error
		if c, err = p.askForCiphertext(ctx, text); err != nil {
			return "", err
		}
	}
	if c == "" {
		crypter, err := p.keys.crypter(p.settings.EncryptionSalt)
		if err != nil {
			return "", err
		}
		if c, err = crypter.EncryptValue(ctx, text); err != nil {
			return "", err
		}
	}
	kept[name] = c
	return c, nil
}

// askForCiphertext has the engine encrypt a text that only it can, on standard input: what
// is on a command line is everybody's to read. The settings that it writes are thrown away:
// in the stack's own, the text may stand at a place that has no name for a command line.
func (p *phase) askForCiphertext(ctx context.Context, text string) (string, error) {
	const key = "reeve:text"
	file := filepath.Join(p.at.private, "ciphertext.yaml")
	empty, err := p.settings.text()
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(file, empty, 0o600); err != nil {
		return "", err
	}
	// It takes one newline off the end, and keys end with one of their own.
	if _, err := p.engine.run(ctx, p.voice(stackjob.OpInit, nil), p.at.emptyProgram(), []byte(text+"\n"), false,
		"config", "set", "--secret", "--stack="+p.stack.name(), "--config-file="+file, key); err != nil {
		return "", err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	s, err := parseSettings(b)
	if err != nil {
		return "", fmt.Errorf("read what was encrypted: %w", err)
	}
	v, ok := s.Config[key].(map[string]any)
	c, isText := v["secure"].(string)
	if !ok || !isText || c == "" {
		return "", errors.New("the engine encrypted a value and did not write it down")
	}
	// The first encryption makes the stack's data key.
	p.settings.EncryptedKey, p.settings.SecretsProvider = s.EncryptedKey, s.SecretsProvider
	p.record.EncryptedKey, p.record.SecretsProvider = s.EncryptedKey, s.SecretsProvider
	return c, os.Remove(file)
}

func (p *phase) wrongPassphrase() error {
	return telling.Person(stackjob.ReasonEngine, errPassphrase.Error(), fmt.Sprintf("The stack's secrets are encrypted with another passphrase than this stack's: "+
		"somebody else made it, or its document had another name.\n"+
		"With the other one in PULUMI_CONFIG_PASSPHRASE and the backend in PULUMI_BACKEND_URL, change it in the program's folder, and rerun the job:\n"+
		"  reeve state passphrase %s | pulumi stack change-secrets-provider passphrase --stack %s\n"+
		"`reeve state passphrase` with an earlier name of the document prints the one of then.", p.task.Key, p.stack.name()))
}
