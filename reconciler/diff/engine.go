package diff

import (
	"fmt"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// EngineOf is what a resource is to be run with, for a stack as it is recorded: where no
// document names an engine, the one that made the stack. Another default, or an engine
// that was installed since, must not move what nobody asked to move.
func EngineOf(r *schema.Resource, d stackjob.Desired, st stackjob.Stack) stackjob.Desired {
	if o := st.Observed; r.Provisioner == "" && o != nil && o.Desired.Provisioner != "" && o.Desired.Provisioner != schema.Pulumi {
		d.Provisioner = o.Desired.Provisioner
	}
	d.EngineVersion = r.EngineVersions.For(d.Provisioner)
	return d
}

// EngineRefused says why a stack may not go over to the engine that d names; nil when it
// may, or need not. Another engine begins with no state, or takes the state of the old one
// and writes it in its own words: the document must say which.
func EngineRefused(r *schema.Resource, d stackjob.Desired, st stackjob.Stack) *stackjob.Reason {
	if st.Observed == nil {
		return nil
	}
	was, is := st.Observed.Desired.Provisioner, d.Provisioner
	if was == "" || is == "" || was == is {
		return nil
	}
	move := schema.MoveBetween(was, is)
	if r.EngineMove == move {
		return nil
	}
	say := fmt.Sprintf("the annotation %q", "stackreeve.dev/engine-move: "+string(move))
	if r.Kind == schema.KindTerraformStack {
		say = fmt.Sprintf("%q in its spec", "engineMove: "+string(move))
	}
	detail := arrow(string(was), string(is))
	if was == schema.Pulumi || is == schema.Pulumi {
		detail += fmt.Sprintf("; no state can be moved between them: let it be destroyed first by taking its document away, or import what there is by hand and say so with %s; or name %s again", say, was)
	} else {
		detail += fmt.Sprintf("; to go on with the same state, say so with %s; or name %s again", say, was)
	}
	if r.EngineMove != "" {
		detail += fmt.Sprintf("; it says %s", r.EngineMove)
	}
	return &stackjob.Reason{Code: stackjob.ReasonEngineMove, Detail: detail}
}
