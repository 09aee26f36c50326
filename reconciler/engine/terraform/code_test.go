package terraform_test

import (
	"strings"
	"testing"
)

// TestADigestCoversWhatIsOnlyKnownWhenItIsApplied changes what a plan does without
// changing a single value that the plan shows.
func TestADigestCoversWhatIsOnlyKnownWhenItIsApplied(t *testing.T) {
	t.Parallel()
	const variable = "variable \"x\" { default = \"\" }\n"
	const other = "resource \"terraform_data\" \"a\" {}\n"
	for name, text := range map[string]string{
		"a command":       variable + "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" { command = \"echo WORD ${var.x}\" }\n}\n",
		"an unknown text": variable + other + "resource \"terraform_data\" \"b\" { input = \"${terraform_data.a.id} WORD ${var.x}\" }\n",
		"an output":       variable + other + "output \"o\" { value = \"${terraform_data.a.id} WORD ${var.x}\" }\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEngines(t, func(t *testing.T, b *bench) {
				b.Module(map[string]string{"main.tf": strings.ReplaceAll(text, "WORD", "keep")})
				b.Inputs(map[string]any{"x": "one"})
				first := b.MustPlan()
				if again := b.MustPlan(); again.Digest != first.Digest {
					t.Fatal("two equal plans differ in their digest")
				}
				b.Inputs(map[string]any{"x": "two"})
				if b.MustPlan().Digest == first.Digest {
					t.Error("another input makes another result and the same digest")
				}
				b.Inputs(map[string]any{"x": "one"})
				b.Module(map[string]string{"main.tf": strings.ReplaceAll(text, "WORD", "drop")})
				if b.MustPlan().Digest == first.Digest {
					t.Error("other code makes another result and the same digest")
				}
			})
		})
	}
}

// TestADigestDoesNotCoverHowAPlanIsWritten keeps approvals where nothing else is done.
func TestADigestDoesNotCoverHowAPlanIsWritten(t *testing.T) {
	t.Parallel()
	forEngines(t, func(t *testing.T, b *bench) {
		b.Module(map[string]string{"main.tf": "variable \"x\" {}\nvariable \"y\" { default = 1 }\nresource \"terraform_data\" \"a\" { input = var.x }\n"})
		b.Inputs(map[string]any{"x": "one"})
		first := b.MustPlan()
		b.Module(map[string]string{"main.tf": "# said better\nvariable \"x\" {}\nvariable \"y\" { default = 1 }\nresource \"terraform_data\" \"a\" { input = \"${var.x}\" }\n"})
		b.Inputs(map[string]any{"x": "one", "y": 2})
		if b.MustPlan().Digest != first.Digest {
			t.Error("the same is done, and the digest is another")
		}
	})
}
