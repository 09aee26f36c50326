package pulumi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/engine/statefile"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

const (
	// keptUpdates is how many updates Pulumi's own history of a stack in the data folder holds.
	keptUpdates  = statefile.Kept
	backupSuffix = ".pulumi.json"
	exportSuffix = ".export.json"
)

// errDamaged means that a checkpoint is there and is no state.
var errDamaged = errors.New("the stack's state is damaged")

// stackAt is a stack and where its state is.
type stackAt struct {
	organization, project, stack string
	// backend is without a password.
	backend *url.URL
	// url is what the engine is told, and password what it gets beside that.
	url, password string
	// set are the parameters, of the URL or of the environment, that lead to another place.
	set []string
}

// placeParameters are the parameters of backends' URLs that lead to another place, and
// placeVariables the variables that stand for them where the URL says nothing.
var (
	placeParameters = map[string][]string{"s3": {"endpoint"}, "azblob": {"storage_account", "domain"}, "postgres": {"table"}}
	placeVariables  = map[string][]string{
		"endpoint": {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}, "storage_account": {"AZURE_STORAGE_ACCOUNT"}, "domain": {"AZURE_STORAGE_DOMAIN"},
	}
)

// newStackAt reads where a stack is. env is the engine's environment.
func newStackAt(organization, project, stack, backend string, env map[string]string) (stackAt, error) {
	u, err := url.Parse(backend)
	if err != nil || u.Scheme == "" {
		return stackAt{}, errors.New("the backend's URL cannot be read") // it may hold a password
	}
	if u.Scheme == "file" && !filepath.IsAbs(u.Path) {
		return stackAt{}, errors.New("the backend's folder is not an absolute path")
	}
	s := stackAt{organization: organization, project: project, stack: stack, backend: u, url: backend}
	// The engine writes the URL into its messages about locks.
	if password, ok := u.User.Password(); ok && u.Scheme == "postgres" {
		u.User = url.User(u.User.Username())
		s.url, s.password = u.String(), password
	}
	for _, name := range placeParameters[u.Scheme] {
		v := u.Query().Get(name)
		for _, variable := range placeVariables[name] {
			v = cmp.Or(v, env[variable])
		}
		if v != "" && (name != "table" || v != "pulumi_state") { // which is the default
			s.set = append(s.set, name+" "+v)
		}
	}
	return s, nil
}

// engineURL is a backend's URL as the engine gets it. Beside each file in a folder it would
// keep one of attributes, which nothing needs and which it writes in place: a run that is
// killed in that moment leaves it empty, and then no command can load the stack any more
// ("failed to load checkpoint: EOF"), not even the one that releases its lock. So it is
// told to keep none: https://pkg.go.dev/gocloud.dev/blob/fileblob#URLOpener.
func engineURL(backend string) string {
	const keepNone = "metadata=skip"
	_, query, has := strings.Cut(backend, "?")
	q, err := url.ParseQuery(query)
	switch {
	case !strings.HasPrefix(backend, "file://"), err != nil, q.Has("metadata"):
		return backend
	case has && query != "":
		return backend + "&" + keepNone
	}
	return strings.TrimSuffix(backend, "?") + "?" + keepNone
}

// isService tells whether the backend is Pulumi Cloud or one like it.
func (s stackAt) isService() bool { return s.backend.Scheme == "https" || s.backend.Scheme == "http" }

// name is the stack's full name. Self-managed backends have one organization, which is
// called so.
func (s stackAt) name() string {
	switch {
	case !s.isService():
		return "organization/" + s.project + "/" + s.stack
	case s.organization == "":
		return s.project + "/" + s.stack
	}
	return s.organization + "/" + s.project + "/" + s.stack
}

// folder is the folder of a file backend; "" for others.
func (s stackAt) folder() string {
	if s.backend.Scheme != "file" {
		return ""
	}
	return filepath.Join(s.backend.Path, ".pulumi")
}

// checkpoint is the state's file; "" when it is no file that we can read.
func (s stackAt) checkpoint() string {
	if s.folder() == "" {
		return ""
	}
	return filepath.Join(s.folder(), "stacks", s.project, s.stack+".json")
}

// locks is the folder of the stack's locks; "" when they are no files.
func (s stackAt) locks() string {
	if s.folder() == "" {
		return ""
	}
	return filepath.Join(s.folder(), "locks", "organization", s.project, s.stack)
}

// where is the place in words, without how it is reached: no login, password or region.
func (s stackAt) where() string {
	u := url.URL{Scheme: s.backend.Scheme, Host: strings.ToLower(s.backend.Host), Path: strings.TrimRight(s.backend.Path, "/")}
	return strings.Join(append([]string{u.String(), s.name()}, s.set...), " ")
}

// statePlace tells two places of a state apart without telling where they are: a plan is
// for the state that it was made of, and an approval too. "" is the stack's own file in
// the data folder, wherever that folder is.
func (p *phase) statePlace() string {
	if p.task.StateFile != "" {
		return ""
	}
	return p.stack.backend.Scheme + " " + facts.KeyedHash(p.task.HashKey, []byte(p.stack.where()))
}

// isKMS tells whether only the engine can read the stack's secrets.
func (p *phase) isKMS() bool { return p.task.Pulumi.SecretsProvider != passphrase }

// readState reads the state as it is. A file is read; of other backends it costs a
// process.
func (p *phase) readState(ctx context.Context, kind stackjob.OperationKind) (*deployment, error) {
	if file := p.stack.checkpoint(); file != "" {
		b, err := readIfThere(file)
		if err != nil {
			return nil, err
		}
		if b != nil {
			return parseCheckpoint(b)
		}
	}
	return p.export(ctx, kind)
}

func (p *phase) export(ctx context.Context, kind stackjob.OperationKind, flags ...string) (*deployment, error) {
	args := append([]string{"stack", "export", "--stack", p.stack.name()}, flags...)
	out, err := p.engine.run(ctx, p.voice(kind, nil), p.at.emptyProgram(), nil, false, args...)
	if err != nil {
		return nil, err
	}
	return parseExport([]byte(out))
}

// readable is a state whose secrets can be read: of a passphrase they can; what a key
// service encrypted the engine decrypts, by one process more, and only where there is
// something.
func (p *phase) readable(ctx context.Context, d *deployment, kind stackjob.OperationKind) (*deployment, error) {
	if !p.isKMS() || !bytes.Contains(d.raw, []byte(secretSignature)) {
		return d, nil
	}
	return p.export(ctx, kind, "--show-secrets")
}

// opens opens the secrets of a state and of plans made of it.
func (p *phase) opens(d *deployment) decrypter {
	if p.isKMS() {
		return nil
	}
	return p.keys.decrypter(p.settings.EncryptionSalt, d.salt())
}

// outputsOf are the outputs of a state. One whose value cannot be read is named in a
// warning, and not recorded.
func (p *phase) outputsOf(d *deployment) ([]stackjob.Output, error) {
	given := map[string]facts.Output{}
	open := p.opens(d)
	for name, v := range d.outputs() {
		read, err := readProperty(v, open)
		if err != nil || facts.AnyTrue(read.unknown) {
			text := fmt.Sprintf("Warning: the value of the output %s is not in the state in a form that can be read, so it is not recorded.", name)
			p.Say(text)
			p.Warn(text)
			continue
		}
		given[name] = facts.Output{Value: facts.Canonical(read.value), Sensitive: facts.AnyTrue(read.sensitive)}
	}
	return p.hider().Outputs(given, p.task.Recipient)
}

// backUp keeps the state as it is before an apply, and lets the oldest backup go.
func (p *phase) backUp(d *deployment) error {
	if _, err := p.keep(d); err != nil {
		return err
	}
	if p.task.StateBackups == "" {
		return nil
	}
	return statefile.Prune(p.task.StateBackups, p.backupSuffix())
}

// keep writes a backup of the state as it is and returns its name; "" when there is nothing
// to keep. Of a state in the data folder it is the checkpoint file as it stands, of others
// what `pulumi stack import` takes.
func (p *phase) keep(d *deployment) (string, error) {
	if p.task.StateBackups == "" || len(d.Resources)+len(d.Pending) == 0 {
		return "", nil
	}
	if err := os.MkdirAll(p.task.StateBackups, 0o700); err != nil {
		return "", err
	}
	b := d.file
	if !p.isOwnFile() {
		var err error
		if b, err = d.export(); err != nil {
			return "", err
		}
	}
	name := statefile.Name(p.driver.now(), 0, p.task.Job, p.backupSuffix())
	if err := renameio.WriteFile(filepath.Join(p.task.StateBackups, name), b, 0o600); err != nil {
		return "", fmt.Errorf("back up the state: %w", err)
	}
	return name, nil
}

// isOwnFile tells that the state is the stack's own file in the data folder.
func (p *phase) isOwnFile() bool { return p.task.StateFile != "" }

func (p *phase) backupSuffix() string {
	if p.isOwnFile() {
		return backupSuffix
	}
	return exportSuffix
}

// tellPending tells of what an update that was killed was at: it may exist without the
// state knowing it.
func (p *phase) tellPending(d *deployment) {
	if len(d.Pending) == 0 {
		return
	}
	var names []string
	for _, o := range d.Pending {
		names = append(names, fmt.Sprintf("%s (%s)", o.Resource.URN, o.Type))
	}
	slices.Sort(names)
	text := "Warning: The last update was killed in the middle. What it was at may exist, or be half done, without the state knowing it: " + strings.Join(names, ", ") + "."
	p.Say(text)
	p.Warn(text)
}

// remember keeps what the next phase must know.
func (p *phase) remember(d *deployment) error {
	next := p.record
	next.Place = facts.KeyedHash(p.task.HashKey, []byte(p.stack.where()))
	next.Held = d != nil && d.managed() > 0
	if p.keys.made {
		next.Keys = p.keys.sealed
	}
	a, err := json.Marshal(p.record)
	if err != nil {
		return err
	}
	b, err := json.Marshal(next)
	if err != nil || bytes.Equal(a, b) {
		return err
	}
	p.record = next
	return p.at.writeRecord(next)
}
