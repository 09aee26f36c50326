package pulumi

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
)

// hide has what a state holds as secret masked from here on, and what a plan made of it does:
// the engine masks the secrets of the configuration in what providers and programs say, and
// no others, such as a password that a provider made. d must be readable.
// It returns what it hid.
func (p *phase) hide(d *deployment, plan savedPlan) []string {
	secrets := facts.NotNames(converter{open: p.opens(d), state: d}.tainted(plan), urns(d, plan))
	p.Sink.Hide(secrets)
	return secrets
}

// urns are the names in a state and in a plan made of it.
func urns(d *deployment, plan savedPlan) []string {
	out := slices.Collect(maps.Keys(plan.ResourcePlans))
	for _, r := range d.Resources {
		out = append(out, r.URN)
	}
	return out
}

// hideWritten hides what the engine has written into the state while it works: before what
// needs a secret output is begun, its maker's state is on the disk. Only of a state that is
// a file; of others it is known at the end.
func (p *phase) hideWritten() {
	file := p.stack.checkpoint()
	if file == "" || p.settings.EncryptionSalt == "" {
		return
	}
	p.written.Read(file, func(b []byte) error {
		d, err := parseCheckpoint(b)
		if err == nil {
			p.hide(d, savedPlan{})
		}
		return err
	})
}

// Of a step that a saved plan does not allow the engine says which properties differ, and
// writes both values as they are, what is secret too: "properties changed:
// ~~password[{&{{old}}}!={&{{new}}}], ++size[{1}]"
// (github.com/pulumi/pulumi/pkg/v3/resource/deploy, PlanDiff.MakeError).
var (
	differs   = regexp.MustCompile(`(?s)(violates plan: properties changed: )(.*)$`)
	differsAt = regexp.MustCompile(`(?:^|\], |, )[-+~=]{2}([A-Za-z_][\w.-]*)`)
)

// withoutValues is such a message without the values.
func withoutValues(message string) string {
	m := differs.FindStringSubmatchIndex(message)
	if m == nil {
		return message
	}
	var names []string
	for _, found := range differsAt.FindAllStringSubmatch(message[m[4]:m[5]], -1) {
		if !slices.Contains(names, found[1]) {
			names = append(names, found[1])
		}
	}
	return message[:m[4]] + strings.Join(names, ", ")
}
