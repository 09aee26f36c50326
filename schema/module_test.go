package schema_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stackreeve/stackreeve/schema/diag"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

// TestModuleAddressesAreChecked loads stacks with wrong addresses. None of them is shown
// where it may hold a credential.
func TestModuleAddressesAreChecked(t *testing.T) {
	t.Parallel()
	for module, want := range map[string]string{
		"https://bot:canary@git.example.com/r.git":                    "credential-in-url",
		"https://canary@git.example.com/r.git":                        "credential-in-url",
		"git::https://bot:canary@git.example.com/r.git//x?ref=v1":     "credential-in-url",
		"ssh://git:canary@git.example.com/r.git":                      "credential-in-url",
		"bot:canary@git.example.com:r.git":                            "credential-in-url",
		"https:/bot:canary@git.example.com/r.git":                     "credential-in-url",
		"{git: {url: 'https://bot:canary@git.example.com/r.git'}}":    "credential-in-url",
		"{git: {url: 'bot:canary@git.example.com:r.git'}}":            "credential-in-url",
		"https://git.example.com/r.git?access=canary":                 "invalid-value",
		"{git: {url: 'https://git.example.com/r.git?access=canary'}}": "invalid-value",
		"{git: {url: 'https://git.example.com/r.git#canary'}}":        "invalid-value",
		"file:///etc": "invalid-value", "{git: {url: /etc}}": "invalid-value", "{git: {url: 'ext::sh -c x'}}": "invalid-value",
		"{git: {url: 'https://git.example.com/r.git', path: ../up}}":     "invalid-value",
		"{git: {url: 'https://git.example.com/r.git', ref: '--upload'}}": "invalid-value",
		"{git: {url: 'https://git.example.com/r.git', ref: 'a b'}}":      "invalid-value",
		"../../../up": "invalid-value", "/../up": "invalid-value", "a\\b": "invalid-value",
		"ssh://git@git.example.com/r.git": "", "git@git.example.com:o/r.git": "", "https://git.example.com/r.git//a@b/c:d": "", "http://127.0.0.1:8080/r.git": "",
	} {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			list := schematest.LoadAny(t, map[string]string{"acme/dev/s.yaml": schematest.Stack("s", module)}).Diagnostics()
			var got []string
			for _, d := range list {
				got = append(got, string(d.Code))
			}
			if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s%s", diff, diag.Text(list, diag.TextOptions{}))
			}
			if out := string(diag.JSON(list)) + diag.Text(list, diag.TextOptions{}); strings.Contains(out, "canary") {
				t.Errorf("a credential is shown:\n%s", out)
			}
		})
	}
}
