package pulumi

import (
	"os"
	"regexp"
	"slices"
	"strings"
)

// hide has what a state holds as secret masked from here on, and what a plan made of it does:
// the engine masks the secrets of the configuration in what providers and programs say, and
// no others, such as a password that a provider made. d must be readable.
// It returns what it hid.
func (p *phase) hide(d *deployment, plan savedPlan) []string {
	secrets := notNames(converter{open: p.opens(d), state: d}.tainted(plan), d, plan)
	p.Sink.Hide(secrets)
	return secrets
}

// notNames are the secrets without what stands in a URN: a structure is often secret as a
// whole, with words like "kubernetes" in it, and without those nobody could read the log.
func notNames(secrets []string, d *deployment, plan savedPlan) []string {
	var urns strings.Builder
	for _, r := range d.Resources {
		urns.WriteString(r.URN + "\n")
	}
	for urn := range plan.ResourcePlans {
		urns.WriteString(urn + "\n")
	}
	slices.Sort(secrets)
	return slices.DeleteFunc(slices.Compact(secrets), func(s string) bool { return strings.Contains(urns.String(), s) })
}

// hideWritten hides what the engine has written into the state while it works: before what
// needs a secret output is begun, its maker's state is on the disk. Only of a state that is
// a file; of others it is known at the end.
func (p *phase) hideWritten() {
	file := p.stack.checkpoint()
	if file == "" || p.settings.EncryptionSalt == "" {
		return
	}
	st, err := os.Stat(file)
	if err != nil || p.written != nil && os.SameFile(st, p.written) && st.ModTime().Equal(p.written.ModTime()) {
		return
	}
	p.written = st
	b, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if d, err := parseCheckpoint(b); err == nil {
		p.hide(d, savedPlan{})
	}
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
