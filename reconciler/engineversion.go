package reconciler

import (
	"fmt"
	"strings"

	"github.com/hashicorp/go-version"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// plannedWith is the program that a job's plan was made with: only that very version carries
// it out, though a newer one may have been installed since.
func plannedWith(job stackjob.Job) engine.Wanted {
	_, number, _ := strings.Cut(job.Plan.Engine, " ")
	return engine.Wanted{Provisioner: job.Desired.Provisioner, Version: schema.EngineVersion{Constraint: "= " + number}}
}

// olderEngine is a warning when a plan was made with an older minor version than the one
// that wrote the state last; "" when not. Engines of one major version take such a state
// and say nothing; what only the newer one knows is lost when they write it.
func olderEngine(o *stackjob.Observed, is string) string {
	if o == nil {
		return ""
	}
	before, now := engineNumber(o.Engine), engineNumber(is)
	if before == nil || now == nil {
		return ""
	}
	was, have := before.Segments(), now.Segments()
	if have[0] > was[0] || have[0] == was[0] && have[1] >= was[1] {
		return ""
	}
	return fmt.Sprintf("%s made the stack last, and this plan was made with %s, an older version: it may not know all that is in the state", o.Engine, is)
}

// engineNumber is the version in "terraform 1.11.4"; nil when there is none.
func engineNumber(s string) *version.Version {
	_, number, _ := strings.Cut(s, " ")
	v, err := version.NewVersion(number)
	if err != nil {
		return nil
	}
	return v
}
