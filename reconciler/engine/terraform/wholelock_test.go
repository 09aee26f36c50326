package terraform

import "testing"

func TestOnlyTheLockOfAWholeDatabaseIsTakenForIt(t *testing.T) {
	t.Parallel()
	const head = "Error acquiring the state lock\n\n"
	for said, want := range map[string]bool{
		head + "Error message: Already locked for workspace creation: default\nLock Info:\n  ID: 1":                                             true,
		head + "Error message: Cannot lock workspace; already locked for workspace creation: default\nLock Info:":                               true,
		"│ Error: Error acquiring the state lock\n│\n│ Error message: Cannot lock workspace; already locked for workspace\n│ creation: default": true,
		head + "Error message: Workspace is already locked: default\nLock Info:\n  ID: 1":                                                       false,
		lockText: false,
		head + "Error message: HTTP remote state already locked: ID=for-workspace-creation": false,
	} {
		if got := isWholeLocked(said); got != want {
			t.Errorf("%v: %q", got, said)
		}
	}
}
