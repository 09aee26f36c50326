package telling

import (
	"fmt"
	"os"

	"github.com/hashicorp/go-version"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// CheckProgram tells whether an engine's program is there, can be run and is not older
// than a driver can deal with, and returns its version. The program was found by the
// daemon, maybe long ago.
func CheckProgram(p engine.Program, oldest string) (*version.Version, error) {
	v, err := version.NewVersion(p.Version)
	if err != nil {
		return nil, fmt.Errorf("version of %s: %w", p, err)
	}
	if v.LessThan(version.Must(version.NewVersion(oldest))) {
		return nil, Person(stackjob.ReasonEngineMissing, p.String()+" is too old",
			fmt.Sprintf("%s is too old: reeve needs %s or newer.\nInstall a newer one.", p, oldest))
	}
	if st, err := os.Stat(p.Path); err != nil || st.IsDir() || st.Mode()&0o111 == 0 {
		return nil, Person(stackjob.ReasonEngineMissing, p.Path,
			fmt.Sprintf("There is no program at %s any more.\nInstall %s there, or set another path in the configuration.", p.Path, p))
	}
	return v, nil
}
