package terraform

import "github.com/stackreeve/stackreeve/reconciler/engine/statefile"

// StateFormat is how Terraform and OpenTofu write a state: JSON of format version 4, where
// OpenTofu may have encrypted all but serial and lineage.
type StateFormat struct{}

var _ statefile.Format = StateFormat{}

// Suffix ends the names of backups.
func (StateFormat) Suffix() string { return backupSuffix }

// File is the file itself.
func (StateFormat) File(state string) (string, error) { return state, nil }

// Read reads what a state says of itself.
func (StateFormat) Read(b []byte) (statefile.Summary, error) {
	s, err := parseState(b)
	if err != nil {
		return statefile.Summary{}, err
	}
	return statefile.Summary{Serial: s.Serial, Lineage: s.Lineage, Resources: s.managed(), Encrypted: len(s.Encrypted) > 0}, nil
}

// InUse tells whether a process holds the engines' lock on a state file. It sees others'
// locks only: no engine runs in this process.
func (StateFormat) InUse(path string) (bool, error) { return isLocked(path) }
