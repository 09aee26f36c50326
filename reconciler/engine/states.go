package engine

import (
	"errors"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// ErrStateInUse means that an engine, perhaps a person's, is at work on a state.
var ErrStateInUse = errors.New("an engine is at work on the state")

// ErrStateDamaged means that a state, or a backup, is there and is no state.
var ErrStateDamaged = errors.New("it is no state")

// ErrNoBackup means that there is no backup of that name.
var ErrNoBackup = errors.New("there is no such backup")

// StateFiles is where a stack's state is, when it is a file of the data folder, and the
// folder with its backups. For Pulumi State is the folder of a backend that is the stack's
// own, with the file in it.
type StateFiles struct{ State, Backups string }

// StateFile is what is known of a state, or of a backup of one. It tells nothing of what
// is in it but how much.
type StateFile struct {
	// Name is the file's; a backup is named by it.
	Name string
	// At is when the backup was made, or the state last written.
	At time.Time
	// Job is the job before whose work the backup was made; "" for a state, and where the
	// backup does not say.
	Job stackjob.JobID
	// Serial counts the writes of a state, Lineage names it through all of them; zero where
	// the engine has no such thing.
	Serial  int64
	Lineage string
	// Resources counts the managed resources, or nothing when Encrypted.
	Resources int
	Encrypted bool
	// Size is in bytes.
	Size int64
	// Damaged tells that it cannot be read as a state.
	Damaged bool
	// Current tells that a backup is, byte for byte, what the state is.
	Current bool
}

// StateList is a state and its backups.
type StateList struct {
	// State is nil when there is none.
	State *StateFile
	// Backups are newest first.
	Backups []StateFile
}

// States is what looks after states that are files of the data folder, one for each way in
// which engines write them. An apply of such an engine makes the backups; here they are
// listed and put back. No method runs an engine, and none returns what is in a state.
type States interface {
	// List tells of the state and its backups.
	List(at StateFiles) (StateList, error)
	// Keep makes a backup of the state before a job replaces it, and returns it; it lets no
	// older backup go. Asked again for the same job it returns the backup that it made. It
	// returns nil when there is no state; a copy of a damaged one is put aside, as no backup.
	// It fails with ErrStateInUse.
	Keep(at StateFiles, job stackjob.JobID) (*StateFile, error)
	// Replace puts a backup in the place of the state: whoever looks, and whenever it is
	// killed, the file is either the old state or the new one, whole. It fails with
	// ErrNoBackup, ErrStateDamaged or ErrStateInUse.
	Replace(at StateFiles, backup string) error
}
