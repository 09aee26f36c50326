package pulumi

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatAPlanDoesNotAllowIsToldWithoutValues(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"it is protected": "it is protected",
		"resource urn:pulumi:dev::demo::lab:index:Data::g violates plan: properties changed: ~~value[{&{{canary-1}}}!={&{{canary-2}}}]": "resource urn:pulumi:dev::demo::lab:index:Data::g violates plan: properties changed: value",
		"resource violates plan: properties changed: ++a[{canary\nof two lines}!={x}], =-b, ~+c.d[{}], ++a[{1}]":                        "resource violates plan: properties changed: a, b, c.d",
		"resource u violates plan: properties changed: ++input[{canary, ~-}]":                                                           "resource u violates plan: properties changed: input",
		"resource u violates plan: provider changed (expected p)":                                                                       "resource u violates plan: provider changed (expected p)",
	} {
		if diff := cmp.Diff(want, withoutValues(message)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", message, diff)
		}
	}
}

func TestWordsOfNamesAreNotHidden(t *testing.T) {
	t.Parallel()
	d := &deployment{Resources: []stateResource{{URN: "urn:pulumi:dev::demo::kubernetes:core/v1:Secret::keys"}}}
	plan := savedPlan{ResourcePlans: map[string]resourcePlan{"urn:pulumi:dev::demo::lab:index:Data::made-now": {}}}
	got := notNames([]string{"s3cr3t-value", "kubernetes", "made-now", "s3cr3t-value"}, d, plan)
	if !slices.Equal(got, []string{"s3cr3t-value"}) {
		t.Errorf("hidden are %q", got)
	}
}
