package reconciler

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// Layout is where things are in the data folder:
//
//	jobs/JOB/1-plan/ 1-apply/ …            one folder per attempt and phase (package engine)
//	stacks/ORG/ENV/KIND/NAME/workspace/    the engine's data folder, reused
//	                         state/        local state, and its backups
type Layout struct{ Root string }

// Job is the folder of a job.
func (l Layout) Job(id stackjob.JobID) string { return filepath.Join(l.Root, "jobs", string(id)) }

// Phase is the folder of one phase of one attempt of a job.
func (l Layout) Phase(id stackjob.JobID, attempt int, phase engine.Phase) string {
	return filepath.Join(l.Job(id), fmt.Sprintf("%d-%s", attempt, phase))
}

// Restores is how many runners a restore was given to; their phases count from one. Another
// one takes the place of one that was killed.
func (l Layout) Restores(id stackjob.JobID) int {
	n := 0
	for {
		if _, err := os.Stat(l.Phase(id, n+1, engine.PhaseRestore)); err != nil {
			return n
		}
		n++
	}
}

// Stack is the folder of a stack. Names are escaped, so that no name leads out of
// it.
func (l Layout) Stack(k schema.ResourceKey) string {
	return filepath.Join(l.Root, "stacks", segment(k.Org), segment(k.Env), segment(k.Kind), segment(k.Name))
}

// Workspace is the stack's folder for the engine's own files.
func (l Layout) Workspace(k schema.ResourceKey) string { return filepath.Join(l.Stack(k), "workspace") }

// State is the stack's local state file, StateBackups where it is backed up.
func (l Layout) State(k schema.ResourceKey) string {
	return filepath.Join(l.Stack(k), "state", "terraform.tfstate")
}

// StateBackups is the folder of the state's backups.
func (l Layout) StateBackups(k schema.ResourceKey) string {
	return filepath.Join(l.Stack(k), "state", "backups")
}

// PulumiState is the folder of a Pulumi stack's state, a backend of its own.
func (l Layout) PulumiState(k schema.ResourceKey) string {
	return filepath.Join(l.Stack(k), "state", "pulumi")
}

// PulumiCheckpoint is the file in it that is the state: of a project whose name nobody has
// told, one that is not there.
func (l Layout) PulumiCheckpoint(k schema.ResourceKey, p schema.PulumiSettings) string {
	return filepath.Join(l.PulumiState(k), ".pulumi", "stacks", p.Project, p.Stack+".json")
}

// PulumiHome is Pulumi's own folder, with its plugins, for all stacks.
func (l Layout) PulumiHome() string { return filepath.Join(l.Root, "pulumi") }

// StateFiles is where the state of a stack is, when its engine keeps it in a file of the
// data folder.
func (l Layout) StateFiles(d stackjob.Desired) engine.StateFiles {
	at := engine.StateFiles{State: l.State(d.Key), Backups: l.StateBackups(d.Key)}
	if d.Pulumi != nil {
		at.State = l.PulumiState(d.Key)
	}
	return at
}

func segment(s string) string {
	if e := url.PathEscape(s); e != "." && e != ".." && e != "" {
		return e
	}
	return "%" + fmt.Sprintf("%x", s)
}
