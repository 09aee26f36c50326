package terraform

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

const (
	backendLocal  = "local"
	backendModule = "module"
)

// backendKinds are the backends that a task can name.
var backendKinds = []string{backendLocal, backendModule, "s3", "gcs", "azurerm", "http", "pg"}

// isLocal tells whether the state is a file that we look after.
func (p *phase) isLocal() bool {
	return p.task.Backend.Type == backendLocal || p.task.Backend.Type == ""
}

// backendRecord is where the state was at the last good init.
type backendRecord struct {
	Type   string            `json:"type"`
	Config map[string]string `json:"config,omitempty"`
	// StateFile is the local backend's.
	StateFile string `json:"stateFile,omitempty"`
	// Resources tells whether the state held any after the last apply.
	Resources bool `json:"resources,omitempty"`
}

func (r backendRecord) samePlace(o backendRecord) bool {
	return r.Type == o.Type && r.StateFile == o.StateFile && maps.Equal(r.Config, o.Config)
}

func (r backendRecord) String() string {
	if r.Type == backendLocal {
		return "the file " + r.StateFile
	}
	var settings []string
	for _, k := range slices.Sorted(maps.Keys(r.Config)) {
		settings = append(settings, k+"="+r.Config[k])
	}
	return strings.TrimSpace("backend " + r.Type + " " + strings.Join(settings, " "))
}

// backendNow is where the task wants the state.
func (p *phase) backendNow() backendRecord {
	if p.isLocal() {
		return backendRecord{Type: backendLocal, StateFile: p.task.StateFile}
	}
	now := backendRecord{Type: p.task.Backend.Type, Config: p.task.Backend.Config}
	if now.Type == backendPG && now.Config["schema_name"] == "" {
		// Without one every stack would have the same state: the backend's own
		// default knows no stacks (decision 0091).
		now.Config = maps.Clone(now.Config)
		if now.Config == nil {
			now.Config = map[string]string{}
		}
		now.Config["schema_name"] = pgSchema(p.task.Key)
	}
	return now
}

// pgSchema is the name of the database schema that holds the state of a stack: words
// that a person recognises, and a hash, as they are cut to what a name may be.
func pgSchema(k schema.ResourceKey) string {
	words := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, k.Org+"_"+k.Env+"_"+k.Name)
	sum := sha256.Sum256([]byte(k.String()))
	return "reeve_" + words[:min(len(words), 40)] + "_" + hex.EncodeToString(sum[:6]) // 63 is the most that PostgreSQL keeps
}

func (p *phase) backendFile() string { return filepath.Join(p.at.workspace, "backend.json") }

func (p *phase) readBackendRecord() (*backendRecord, error) {
	b, err := readIfThere(p.backendFile())
	if b == nil || err != nil {
		return nil, err
	}
	var r backendRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read %s: %w", p.backendFile(), err)
	}
	return &r, nil
}

// recordBackend writes down where the state is. resources is nil when nothing new
// is known of them.
func (p *phase) recordBackend(resources *bool) error {
	now := p.backendNow()
	old, err := p.readBackendRecord()
	if err != nil {
		return err
	}
	if old != nil && old.samePlace(now) {
		now.Resources = old.Resources
	}
	if resources != nil {
		now.Resources = *resources
	}
	if old != nil && old.samePlace(now) && old.Resources == now.Resources {
		return nil
	}
	b, err := json.Marshal(now)
	if err != nil {
		return err
	}
	return writeFile(p.backendFile(), b)
}

// backendMove is a change of the place of a state that holds resources.
type backendMove struct{ from backendRecord }

// backendMove tells whether the task wants the state elsewhere than it is. nil:
// no, or the old state held nothing.
func (p *phase) backendMove() (*backendMove, error) {
	if !slices.Contains(backendKinds, p.backendNow().Type) {
		return nil, telling.Author(stackjob.ReasonEngine, "backend "+p.task.Backend.Type,
			fmt.Sprintf("There is no backend %q.\nUse one of %s.", p.task.Backend.Type, strings.Join(backendKinds, ", ")))
	}
	if p.isLocal() && p.task.StateFile == "" {
		return nil, errors.New("the local backend needs a state file")
	}
	old, err := p.readBackendRecord()
	if err != nil || old == nil || old.samePlace(p.backendNow()) {
		return nil, err
	}
	held := old.Resources
	if old.Type == backendLocal {
		s, err := readState(old.StateFile)
		held = err == nil && s != nil && s.holdsResources()
	}
	if !held {
		return nil, nil
	}
	return &backendMove{from: *old}, nil
}

// proveMoved goes on only when the state is already in the new place: where a
// state goes is a person's decision.
func (p *phase) proveMoved(ctx context.Context, move backendMove) error {
	found := false
	if p.isLocal() {
		s, err := readState(p.task.StateFile)
		found = err == nil && s != nil && s.holdsResources()
	} else {
		s, err := p.pullState(ctx)
		if err != nil {
			return err
		}
		found = s != nil && s.holdsResources()
	}
	if found {
		p.Say("The state is in its new place, " + p.backendNow().String() + ".")
		return nil
	}
	return telling.Person(stackjob.ReasonEngine, "the state was not moved to its new backend", fmt.Sprintf(
		"The state of this stack holds resources and is kept in %s, but its backend is now %s, where no state is.\n"+
			"Planning there would create everything a second time, so nothing was done.\n"+
			"Either take the change of the backend back, or move the state first (for instance `state pull` there and `state push` here) and run the job again.",
		move.from, p.backendNow()))
}

// pullState reads the state through the engine; nil when there is none.
func (p *phase) pullState(ctx context.Context) (*state, error) {
	v := p.voice(stackjob.OpInit, nil)
	var text string
	err := p.engine.run(ctx, v, []string{"state", "pull"}, func(ctx context.Context) error {
		p.engine.quiet(nil)
		var err error
		text, err = p.engine.tf.StatePull(ctx)
		return err
	})
	if err != nil {
		return nil, engineProblem(ctx, err, "reading the state", v)
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	return parseState([]byte(text))
}

// writeOverride writes the backend block. An override file takes the place of
// whatever backend or cloud block the module declares, and adds one where it
// declares none.
func (p *phase) writeOverride() error {
	now := p.backendNow()
	if now.Type == backendModule {
		err := os.Remove(p.at.overrideFile())
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	settings := map[string]string{}
	if now.Type == backendLocal {
		settings["path"] = now.StateFile
		// 0700: the engines make state files readable by all.
		if err := os.MkdirAll(filepath.Dir(now.StateFile), 0o700); err != nil {
			return fmt.Errorf("make the state's folder: %w", err)
		}
	}
	b, err := json.Marshal(map[string]any{"terraform": map[string]any{"backend": map[string]any{now.Type: settings}}})
	if err != nil {
		return err
	}
	if old, err := readIfThere(p.at.overrideFile()); err == nil && string(old) == string(b) {
		return nil
	}
	return writeFile(p.at.overrideFile(), b)
}

// backendSettings writes the settings of a remote backend to a private file, so
// that none is ever on a command line. "" when there are none.
func (p *phase) backendSettings() (string, error) {
	now := p.backendNow()
	if now.Type == backendModule || now.Type == backendLocal || len(now.Config) == 0 {
		return "", nil
	}
	b, err := json.Marshal(now.Config)
	if err != nil {
		return "", err
	}
	return p.at.writePrivate("backend.json", b)
}

func isBackendChanged(text string) bool {
	low := strings.ToLower(text)
	return strings.Contains(low, "backend configuration changed") || strings.Contains(low, "backend configuration block has changed")
}
