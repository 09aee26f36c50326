package diff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

// because lists every cause for which r's stack is not as desired, in the order of
// their declaration; none means that it is. With the module unknown, the recorded
// revision stands in for it.
func (c *comparison) because(r *schema.Resource, d stackjob.Desired, st stackjob.Stack, moduleUnknown bool) []stackjob.Because {
	if st.Observed == nil {
		out := []stackjob.Because{{Cause: stackjob.CauseNew}}
		if interrupted(st) {
			out = append(out, unfinished(st)...)
		}
		return out
	}
	out := desiredMoved(&st.Observed.Desired, &d, moduleUnknown)
	out = append(out, c.outputsMoved(r, st.Observed)...)
	return append(out, unfinished(st)...)
}

// desiredMoved lists what moved between two desired states of a resource.
func desiredMoved(was, is *stackjob.Desired, moduleUnknown bool) []stackjob.Because {
	var out []stackjob.Because
	if detail, moved := specMoved(was, is); moved {
		out = append(out, stackjob.Because{Cause: stackjob.CauseSpec, Detail: detail})
	}
	if detail, moved := moduleMoved(was, is, moduleUnknown); moved {
		out = append(out, stackjob.Because{Cause: stackjob.CauseModule, Detail: detail})
	}
	if was.Provisioner != is.Provisioner {
		out = append(out, stackjob.Because{Cause: stackjob.CauseProvisioner, Detail: arrow(string(was.Provisioner), string(is.Provisioner))})
	}
	if detail, moved := backendMoved(was.Backend, is.Backend); moved {
		out = append(out, stackjob.Because{Cause: stackjob.CauseBackend, Detail: detail})
	}
	if parts := pulumiMoved(was.Pulumi, is.Pulumi); len(parts) > 0 {
		out = append(out, stackjob.Because{Cause: stackjob.CauseBackend, Detail: strings.Join(parts, ", ")})
	}
	return out
}

// pulumiMoved names what moved in which of Pulumi's stacks it is and in how its state is
// kept; a URL by its name only. A stack that went to or from Pulumi moved as a whole.
func pulumiMoved(was, is *schema.PulumiSettings) []string {
	if was == nil || is == nil {
		return nil
	}
	var parts []string
	for _, s := range []struct{ name, was, is string }{{"organization", was.Organization, is.Organization}, {"project", was.Project, is.Project}, {"stack", was.Stack, is.Stack}} {
		if s.was != s.is {
			parts = append(parts, s.name+" "+arrow(s.was, s.is))
		}
	}
	if was.BackendURL != is.BackendURL {
		parts = append(parts, "backend")
	}
	if was.SecretsProvider != is.SecretsProvider {
		parts = append(parts, "secrets provider")
	}
	return parts
}

// secretsMoved names the configuration that is marked as secret in only one of two
// settings.
func secretsMoved(was, is *schema.PulumiSettings) string {
	if was == nil || is == nil {
		return ""
	}
	var moved []string
	for _, l := range [][2][]string{{was.SecretConfig, is.SecretConfig}, {is.SecretConfig, was.SecretConfig}} {
		for _, key := range l[0] {
			if !slices.Contains(l[1], key) {
				moved = append(moved, key)
			}
		}
	}
	slices.Sort(moved)
	return namePaths(moved)
}

// specMoved tells whether the inputs moved, and names them (never their values:
// a literal may be a secret). A guard or an edge that moved counts as well, or else
// it would not be recorded before the document is removed.
func specMoved(was, is *stackjob.Desired) (string, bool) {
	var parts []string
	if !bytes.Equal(was.Inputs, is.Inputs) || valuesMoved(was.Secrets, is.Secrets) {
		parts = append(parts, namePaths(movedPaths(withHashes(was), withHashes(is))))
	}
	if secrets := secretsMoved(was.Pulumi, is.Pulumi); secrets != "" {
		parts = append(parts, "which is secret: "+secrets)
	}
	if !slices.Equal(was.VarFiles, is.VarFiles) {
		parts = append(parts, "var files")
	}
	if was.PreventDestroy != is.PreventDestroy {
		parts = append(parts, "prevent-destroy")
	}
	if len(parts) == 0 && !slices.Equal(was.Producers, is.Producers) {
		parts = append(parts, "relationships")
	}
	return strings.Join(parts, ", "), len(parts) > 0
}

// valuesMoved tells whether a secret input has another value, where there are two: one that
// came or went is told by the other inputs.
func valuesMoved(was, is map[string]stackjob.SecretInput) bool {
	for k, v := range is {
		if old, ok := was[k]; ok && old.Hash != v.Hash {
			return true
		}
	}
	return false
}

// withHashes are the inputs with the hash of each secret where it was taken out, so that
// those that moved are named in one order with the open ones.
func withHashes(d *stackjob.Desired) json.RawMessage {
	inputs := d.Inputs
	for place, s := range d.Secrets {
		if d.Pulumi != nil && !d.Pulumi.StackInput {
			place = schema.Pointer("", place) // it is a key of the configuration
		}
		hashed, err := schema.ReplaceAt(inputs, place, func(json.RawMessage) (json.RawMessage, error) { return json.Marshal(s.Hash) })
		if err != nil {
			return inputs // they are no JSON, and nothing of them can be named
		}
		inputs = hashed
	}
	return inputs
}

// maxNamedPaths is how many moved inputs a cause names.
const maxNamedPaths = 5

func namePaths(paths []string) string {
	if len(paths) > maxNamedPaths {
		return strings.Join(paths[:maxNamedPaths], ", ") + fmt.Sprintf(" and %d more", len(paths)-maxNamedPaths)
	}
	return strings.Join(paths, ", ")
}

func moduleMoved(was, is *stackjob.Desired, unknown bool) (string, bool) {
	if was.Module.URL != is.Module.URL || was.Module.Path != is.Module.Path {
		return arrow(was.Module.String(), is.Module.String()), true
	}
	if unknown || was.ModuleRevision == is.ModuleRevision {
		return "", false
	}
	return arrow(shortRevision(was.ModuleRevision), shortRevision(is.ModuleRevision)), true
}

// shortRevision is as much of a revision as people compare by eye, without the
// name of the hash.
func shortRevision(rev string) string {
	if i := strings.IndexByte(rev, ':'); i >= 0 {
		rev = rev[i+1:]
	}
	if len(rev) > 7 {
		rev = rev[:7]
	}
	return rev
}

func backendMoved(was, is schema.Backend) (string, bool) {
	if was.Type == "" { // recorded before defaults were filled in
		was.Type = "local"
	}
	if was.Type != is.Type {
		return arrow(was.Type, is.Type), true
	}
	var moved []string
	for k, v := range is.Config {
		if old, ok := was.Config[k]; !ok || old != v {
			moved = append(moved, k)
		}
	}
	for k := range was.Config {
		if _, ok := is.Config[k]; !ok {
			moved = append(moved, k)
		}
	}
	slices.Sort(moved)
	return is.Type + ": " + strings.Join(moved, ", "), len(moved) > 0
}

// outputsMoved names every reference whose value is no longer the one that was put
// in. A producer that has no stack (yet) says nothing: when it has one, the next
// comparison sees it.
func (c *comparison) outputsMoved(r *schema.Resource, o *stackjob.Observed) []stackjob.Because {
	if len(o.References) == 0 {
		return nil
	}
	var moved map[string]struct{}
	var buf [256]byte
	for i := range r.References {
		ref := &r.References[i]
		if ref.Kind != schema.ValueFrom {
			continue
		}
		was, ok := o.References[string(appendReferenceName(buf[:0], ref))] // no allocation
		if !ok {
			continue // a new reference is a moved input
		}
		producer := c.in.Stacks[ref.To]
		if producer.Observed == nil {
			continue
		}
		is, known := c.valueHash(ref, producer)
		if !known || is == was {
			continue
		}
		name := ReferenceName(*ref)
		if is == "" {
			name += " is gone"
		}
		if moved == nil {
			moved = map[string]struct{}{}
		}
		moved[name] = struct{}{}
	}
	if len(moved) == 0 {
		return nil
	}
	out := make([]stackjob.Because, 0, len(moved))
	for _, name := range slices.Sorted(maps.Keys(moved)) {
		out = append(out, stackjob.Because{Cause: stackjob.CauseOutput, Detail: name})
	}
	return out
}

// valueHash is the hash that would be recorded for ref now, "" when it has no value.
func (c *comparison) valueHash(ref *schema.Reference, producer stackjob.Stack) (hash string, known bool) {
	// Nearly every reference is a whole output under its own name. A large repository has
	// many of them, and this way they cost nothing.
	if name, ok := strings.CutPrefix(ref.FieldPath, "status.outputs."); ok {
		for i := range producer.Observed.Outputs {
			if o := &producer.Observed.Outputs[i]; o.Name == name && o.Hash != "" && !strings.ContainsAny(name, ".[") && (o.Sensitive || !isNull(o.Value)) {
				return o.Hash, true
			}
		}
	}
	v, missing := ResolveValue(*ref, producer, c.in.Tree)
	switch {
	case missing != nil:
		return "", true
	case v.Hash != "":
		return v.Hash, true
	case c.in.Hash == nil:
		return "", false
	}
	return c.in.Hash(v.JSON), true
}

// unfinished says that the last apply did not come to its end, or that what it left was
// replaced by a backup since.
func unfinished(st stackjob.Stack) []stackjob.Because {
	lost := interrupted(st)
	if !lost && (st.Observed == nil || st.Observed.Complete) {
		return nil
	}
	b := stackjob.Because{Cause: stackjob.CauseUnfinished}
	switch {
	case st.Observed != nil && st.Observed.Restored != nil:
		b.Cause, b.Detail = stackjob.CauseRestored, st.Observed.Restored.Backup
	case lost:
		b.Detail = string(interruptedJob(st)) + " was interrupted"
	case st.Observed.JobID != "":
		b.Detail = string(st.Observed.JobID)
	}
	return []stackjob.Because{b}
}

// interrupted tells whether an apply of the stack was lost and nothing was applied
// since. Observed knows it for as long as that is true; the last job only until the
// next one ends, but it also knows a first apply of which nothing was recorded.
func interrupted(st stackjob.Stack) bool {
	return st.Observed != nil && st.Observed.Interrupted || st.Last != nil && st.Last.State == stackjob.Interrupted
}

func interruptedJob(st stackjob.Stack) stackjob.JobID {
	if st.Observed != nil && st.Observed.Interrupted && st.Observed.JobID != "" {
		return st.Observed.JobID
	}
	if st.Last != nil && st.Last.State == stackjob.Interrupted {
		return st.Last.ID
	}
	return "an apply"
}

func afterInterrupt(st stackjob.Stack) *stackjob.Reason {
	if !interrupted(st) {
		return nil
	}
	return &stackjob.Reason{Code: stackjob.ReasonAfterInterrupt, Detail: string(interruptedJob(st))}
}

// held is what makes an action on the stack wait for a person: an interruption, or what
// held the last job when that ended without having touched the stack (its plan was
// stale, the daemon stopped, its plan failed): its approval was for another plan.
func held(st stackjob.Stack, a stackjob.Action) *stackjob.Reason {
	if r := afterInterrupt(st); r != nil {
		return r
	}
	l := st.Last
	if l == nil || l.Over || l.Hold == nil || l.Action != a || l.State == stackjob.Succeeded {
		return nil
	}
	if st.Observed != nil && st.Observed.JobID == l.ID {
		return nil // it was approved and carried out, if only in part
	}
	r := *l.Hold
	return &r
}

func arrow(old, new string) string { return orNone(old) + " → " + orNone(new) }

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func quoteName(s string) string { return strconv.Quote(s) }
