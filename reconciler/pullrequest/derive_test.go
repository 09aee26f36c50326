package pullrequest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/reconciler/pull"
	"github.com/stackreeve/stackreeve/reconciler/report/comment"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

func TestHowARowStands(t *testing.T) {
	t.Parallel()
	override := func(s *subject) {
		yesOf("grace")(s)
		s.said[0].Override, s.said[0].Comment = true, "it burns"
		s.choice.Override = []schema.Approver{{Name: "grace", People: []schema.Person{{Name: "grace", Logins: []schema.Login{{Via: "github", Name: "grace"}}}}}}
	}
	for name, c := range map[string]struct {
		row  subject
		want comment.RowState
		says string
	}{
		"its plan needs an approval":           {made("a"), comment.RowWaiting, "acme/ask: +0 ~1"},
		"its plan has one":                     {made("a", yesOf("grace")), comment.RowApproved, "by grace"},
		"its plan had one of another digest":   {made("a", yesOf("grace"), func(s *subject) { s.job.Plan.Digest = "sha256:other" }), comment.RowWaiting, ""},
		"somebody said no":                     {made("a", yesOf("grace"), noOf("linus")), comment.RowStopped, "by linus"},
		"somebody went past the approvals":     {made("a", override), comment.RowApproved, "grace"},
		"nobody needs to approve it":           {made("a", under(open)), comment.RowPlanned, ""},
		"its plan changes nothing":             {made("a", unchanged), comment.RowUnchanged, ""},
		"only its document moved":              {made("a", unplanned, func(s *subject) { s.row.Unchanged = true }), comment.RowUnchanged, ""},
		"its destroy is forbidden":             {made("a", destroys, under(forbids)), comment.RowForbidden, "acme/forbid"},
		"its destroy was forbidden at once":    {made("a", broken(stackjob.ReasonPruneForbidden)), comment.RowForbidden, ""},
		"prevent-destroy forbade it at once":   {made("a", broken(stackjob.ReasonPreventDestroy)), comment.RowForbidden, ""},
		"its module cannot be had":             {made("a", broken(stackjob.ReasonModule)), comment.RowFailed, stackjob.ReasonModule.Sentence()},
		"it reads what is not there yet":       {made("b", deferredUntil("a")), comment.RowDeferred, ""},
		"no job was made yet":                  {made("a", unplanned), comment.RowQueued, ""},
		"it is queued":                         {made("a", in(stackjob.Queued, stackjob.ReasonStackBusy)), comment.RowQueued, stackjob.ReasonStackBusy.Sentence()},
		"it is planned":                        {made("a", in(stackjob.Planning)), comment.RowPlanning, ""},
		"its plan failed":                      {made("a", in(stackjob.Failed, stackjob.ReasonEngine)), comment.RowFailed, stackjob.ReasonEngine.Sentence()},
		"its plan was interrupted":             {made("a", in(stackjob.Interrupted)), comment.RowFailed, ""},
		"its plan was cancelled":               {made("a", in(stackjob.Cancelled, stackjob.ReasonCancelled)), comment.RowStopped, stackjob.ReasonCancelled.Sentence()},
		"its plan was superseded":              {made("a", in(stackjob.Superseded)), comment.RowStopped, ""},
		"an apply waits for its turn":          {made("a", askedFor("")), comment.RowQueued, ""},
		"merged, it is queued":                 {made("a", carriedOut(stackjob.Queued)), comment.RowQueued, ""},
		"merged, it is planned again":          {made("a", carriedOut(stackjob.Planning)), comment.RowPlanning, ""},
		"merged, it waits to start":            {made("a", carriedOut(stackjob.WaitingStart)), comment.RowWaiting, ""},
		"merged, its plan waits":               {made("a", carriedOut(stackjob.WaitingApply)), comment.RowWaiting, ""},
		"merged, it may go on":                 {made("a", carriedOut(stackjob.Ready)), comment.RowApproved, ""},
		"merged, it is applied":                {made("a", carriedOut(stackjob.Applying)), comment.RowApplying, ""},
		"merged, it was applied":               {made("a", carriedOut(stackjob.Succeeded)), comment.RowApplied, ""},
		"merged, there was nothing to apply":   {made("a", unchanged, carriedOut(stackjob.Succeeded)), comment.RowUnchanged, ""},
		"it was applied before the merge":      {made("a", carriedOut(stackjob.Succeeded), func(s *subject) { s.early = true }), comment.RowApplied, "before its merge"},
		"merged, its apply failed":             {made("a", carriedOut(stackjob.Failed)), comment.RowFailed, ""},
		"merged, nobody knows how far it came": {made("a", carriedOut(stackjob.Interrupted)), comment.RowFailed, ""},
		"merged, somebody said no":             {made("a", carriedOut(stackjob.Rejected)), comment.RowStopped, ""},
		"merged, nobody answered":              {made("a", carriedOut(stackjob.Expired)), comment.RowStopped, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state, why := c.row.state()
			if state != c.want {
				t.Errorf("it is %s (%s), expected %s", state, why, c.want)
			}
			for _, text := range strings.Split(c.says, "|") {
				if !strings.Contains(why, text) {
					t.Errorf("it says %q, not %q", why, text)
				}
			}
		})
	}
}

// TestARowNamesItsEngineWithoutAPlan holds while it is planned, and when that failed: where
// engines differ the reader wants to know which it was.
func TestARowNamesItsEngineWithoutAPlan(t *testing.T) {
	t.Parallel()
	wants := func(s *subject) { s.job.Desired.Provisioner = schema.Pulumi }
	for name, c := range map[string]struct {
		row  subject
		want string
	}{
		"it is planned":                    {made("a", wants), "terraform 1.11.4"},
		"it is queued":                     {made("a", in(stackjob.Queued), wants), "pulumi"},
		"its plan failed":                  {made("a", in(stackjob.Failed, stackjob.ReasonEngine), wants), "pulumi"},
		"merged, its plan failed":          {made("a", carriedOut(stackjob.Failed), in(stackjob.Failed), wants), "pulumi"},
		"it waits for another":             {made("b", deferredUntil("a"), func(s *subject) { s.row.Engine = schema.OpenTofu }), "tofu"},
		"its module cannot be had":         {made("a", broken(stackjob.ReasonModule)), ""},
		"the engine of its job counts":     {made("a", in(stackjob.Failed), wants, func(s *subject) { s.row.Engine = schema.OpenTofu }), "pulumi"},
		"its record is older than engines": {made("a", in(stackjob.Failed)), ""},
	} {
		if got := rowOf(picture{page: func(stackjob.JobID) string { return "" }}, c.row).Engine; got != c.want {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
}

// TestARowTellsWhatItsApplyDidAndHowLongItWorked: a person who answers after a day has
// nothing to do with the time, and what failed may have done a part.
func TestARowTellsWhatItsApplyDidAndHowLongItWorked(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	ran := func(s *subject) {
		later := begin.Add(24 * time.Hour)
		s.job.StartedAt, s.job.EndedAt = begin, later.Add(3*time.Second)
		s.job.Operations = []stackjob.Operation{
			{Kind: stackjob.OpPlan, StartedAt: begin, EndedAt: begin.Add(2 * time.Second), Counts: stackjob.Counts{Create: 3}},
			{Kind: stackjob.OpApply, StartedAt: later, EndedAt: later.Add(3 * time.Second), Counts: stackjob.Counts{Create: 1}},
		}
	}
	one := stackjob.Counts{Create: 1}
	for name, c := range map[string]struct {
		row      subject
		done     stackjob.Counts
		doubtful bool
	}{
		"it failed":                        {made("a", ran, carriedOut(stackjob.Failed)), one, false},
		"it was cancelled":                 {made("a", ran, carriedOut(stackjob.Cancelled)), one, false},
		"nobody knows how far it came":     {made("a", ran, carriedOut(stackjob.Interrupted)), one, true},
		"it was applied, as its plan says": {made("a", ran, carriedOut(stackjob.Succeeded)), stackjob.Counts{}, false},
	} {
		row := rowOf(picture{page: func(stackjob.JobID) string { return "" }}, c.row)
		if row.Done != c.done || row.Doubtful != c.doubtful || row.Took != 5*time.Second {
			t.Errorf("%s: done %s, doubtful %t, took %s", name, row.Done, row.Doubtful, row.Took)
		}
	}
}

func TestEveryStateOfAJobIsAStateOfARow(t *testing.T) {
	t.Parallel()
	for _, state := range stackjob.States() {
		planOnly, carrying := made("a"), made("a", carriedOut(state))
		planOnly.job.State = state
		for what, s := range map[string]subject{"plan": planOnly, "apply": carrying} {
			if got, _ := s.state(); got == "" {
				t.Errorf("a %s that is %s has no state", what, state)
			}
		}
	}
}

func TestHowAPullRequestStands(t *testing.T) {
	t.Parallel()
	noRound := of()
	noRound.pull.Round = nil
	errs := of()
	errs.pull.Round.Errors = 2
	unseen := merged(of(made("a", carriedOut(stackjob.Succeeded))))
	unseen.landed = false
	for name, c := range map[string]struct {
		in   picture
		want comment.State
	}{
		"there was no round yet":                     {noRound, comment.Planning},
		"nothing is affected":                        {of(), comment.Nothing},
		"nothing changes":                            {of(made("a", unchanged)), comment.Nothing},
		"one is planned":                             {of(made("a", yesOf("grace")), made("b", in(stackjob.Planning))), comment.Planning},
		"one waits":                                  {of(made("a", yesOf("grace")), made("b")), comment.Waiting},
		"one is forbidden":                           {of(made("a", yesOf("grace")), made("b", destroys, under(forbids))), comment.Waiting},
		"one failed and one waits":                   {of(made("a"), made("b", in(stackjob.Failed))), comment.Failed},
		"one was rejected":                           {of(made("a", yesOf("grace")), made("b", noOf("linus"))), comment.Failed},
		"the tree has errors":                        {errs, comment.Failed},
		"all are approved":                           {of(made("a", yesOf("grace")), made("b", unchanged)), comment.Approved},
		"nobody has to approve":                      {of(made("a", under(open))), comment.Approved},
		"what is deferred holds nobody up":           {of(made("a", yesOf("grace")), made("b", deferredUntil("a"))), comment.Approved},
		"it is refused":                              {refused(stackjob.ReasonConflict), comment.Refused},
		"an apply before the merge goes on":          {of(made("a", under(first), yesOf("grace"), carriedOut(stackjob.Applying), askedFor("sj_x"))), comment.Applying},
		"an apply before the merge waits":            {of(made("a", under(first), carriedOut(stackjob.WaitingApply), askedFor("sj_x"))), comment.Waiting},
		"all was applied before the merge":           {of(made("a", under(first), carriedOut(stackjob.Succeeded))), comment.Applied},
		"it is closed, whatever was planned":         {closed(of(made("a", in(stackjob.Planning)))), comment.Closed},
		"it is closed, and had been refused":         {closed(refused(stackjob.ReasonUntrusted)), comment.Closed},
		"merged, the branch has yet to be read":      {unseen, comment.Applying},
		"merged, one is queued":                      {merged(of(made("a", carriedOut(stackjob.Succeeded)), made("b", carriedOut(stackjob.Queued)))), comment.Applying},
		"merged, one is queued behind a person":      {merged(of(made("a", carriedOut(stackjob.WaitingApply)), made("b", after("a"), carriedOut(stackjob.Queued)))), comment.Waiting},
		"merged, one waits and one is applied":       {merged(of(made("a", carriedOut(stackjob.WaitingApply)), made("b", carriedOut(stackjob.Applying)))), comment.Applying},
		"merged, one waits and one failed":           {merged(of(made("a", carriedOut(stackjob.WaitingApply)), made("b", carriedOut(stackjob.Failed)))), comment.Waiting},
		"merged, one failed and one was applied":     {merged(of(made("a", carriedOut(stackjob.Succeeded)), made("b", carriedOut(stackjob.Failed)))), comment.Failed},
		"merged, all were applied":                   {merged(of(made("a", carriedOut(stackjob.Succeeded)), made("b", unchanged, carriedOut(stackjob.Succeeded)))), comment.Applied},
		"merged, there was nothing to do for anyone": {merged(of(made("b", unchanged, carriedOut(stackjob.Succeeded)))), comment.Nothing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := derive(c.in).State; got != c.want {
				t.Errorf("it is %s, expected %s", got, c.want)
			}
		})
	}
}

func TestNextCommandsAreThoseThatAreValidNow(t *testing.T) {
	t.Parallel()
	turn := func(in picture, name string, holder pull.Key) picture {
		in.turns = append(in.turns, pull.Turn{Stack: at(name), Pull: holder})
		return in
	}
	for name, c := range map[string]struct {
		in   picture
		want string
	}{
		"nothing is affected":                     {of(), "help"},
		"plans are being made":                    {of(made("a"), made("b", in(stackjob.Planning))), "help"},
		"one waits":                               {of(made("a")), "approve dev|help"},
		"two environments wait":                   {of(made("prod/a"), made("dev/b"), made("dev/c")), "approve dev|approve prod|help"},
		"one failed":                              {of(made("prod/a"), made("b", in(stackjob.Failed))), "approve prod|rerun dev|help"},
		"one was cancelled":                       {of(made("a", in(stackjob.Cancelled))), "rerun dev|help"},
		"one was rejected":                        {of(made("a", noOf("linus"))), "approve dev|help"},
		"all are approved":                        {of(made("a", yesOf("grace"))), "help"},
		"it may be applied before the merge":      {of(made("a", under(first), yesOf("grace"))), "apply dev|help"},
		"what goes before it is not applied yet":  {of(made("prod/a"), made("b", under(first), yesOf("grace"), after("prod/a"))), "approve prod|help"},
		"what goes before it is unchanged":        {of(made("a", unchanged), made("b", under(first), yesOf("grace"), after("a"))), "apply dev|help"},
		"it holds a turn":                         {turn(of(made("a", under(first))), "a", seven), "approve dev|unlock dev|help"},
		"another pull request holds the turn":     {turn(of(made("a", under(first))), "a", pull.Key{Repository: "infra", Number: 8}), "approve dev|help"},
		"it holds a turn while it applies":        {turn(of(made("a", under(first), carriedOut(stackjob.Applying), askedFor("sj_x"))), "a", seven), "cancel dev|help"},
		"the author is a stranger":                {refused(stackjob.ReasonUntrusted), "plan|help"},
		"the stranger's change was merged":        {merged(refused(stackjob.ReasonUntrusted)), "help"},
		"it conflicts":                            {refused(stackjob.ReasonConflict), "help"},
		"merged, it waits":                        {merged(of(made("a", carriedOut(stackjob.WaitingApply)))), "approve dev|help"},
		"merged, it goes on":                      {merged(of(made("a", carriedOut(stackjob.Applying)))), "cancel dev|help"},
		"merged, it failed":                       {merged(of(made("a", carriedOut(stackjob.Failed)))), "rerun dev|help"},
		"merged and applied":                      {merged(of(made("a", carriedOut(stackjob.Succeeded)))), ""},
		"closed while it waited":                  {closed(of(made("a"))), ""},
		"closed after one failed":                 {closed(of(made("a", in(stackjob.Failed)))), ""},
		"closed while a stranger waited for a go": {closed(refused(stackjob.ReasonUntrusted)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []string
			for _, w := range strings.FieldsFunc(c.want, func(r rune) bool { return r == '|' }) {
				want = append(want, "reeve "+w)
			}
			if d := cmp.Diff(want, derive(c.in).Commands); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestWhatBlocksTheApplyAndWhoCanClearIt(t *testing.T) {
	t.Parallel()
	team := asks
	team.Approvals = &stackjob.Approvals{Required: 2, From: []schema.Approver{{Name: "team/platform"}, {Name: "grace"}}}
	own := asks
	own.Approvals = &stackjob.Approvals{Required: 1, AuthorMayApprove: true}
	errs := of(made("a", yesOf("grace")))
	errs.pull.Round.Errors = 3
	held := of(made("a", under(first)), made("b", under(first)))
	for _, name := range []string{"a", "b"} {
		held.turns = append(held.turns, pull.Turn{Stack: at(name), Pull: pull.Key{Repository: "infra", Number: 8}})
	}
	var six []subject
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		six = append(six, made(name, in(stackjob.Failed)))
	}
	detail := func(s subject) string { _, why := s.state(); return why }
	for name, c := range map[string]struct {
		in   picture
		want []comment.Block
	}{
		"nothing": {of(made("a", yesOf("grace")), made("b", under(open)), made("c", unchanged), made("d", in(stackjob.Planning))), nil},
		"two wait for the same": {of(made("a"), made("b")), []comment.Block{
			{What: detail(made("a")) + ": acme/dev/TerraformStack/a, acme/dev/TerraformStack/b", Who: "anybody who may write to the repository, but not the author"}}},
		"one waits for a team": {of(made("a", under(team))), []comment.Block{
			{What: detail(made("a", under(team))) + ": acme/dev/TerraformStack/a", Who: "team/platform, grace, but not the author"}}},
		"the author may approve": {of(made("a", under(own))), []comment.Block{
			{What: detail(made("a", under(own))) + ": acme/dev/TerraformStack/a", Who: "anybody who may write to the repository"}}},
		"one is forbidden": {of(made("a", destroys, under(forbids))), []comment.Block{
			{What: detail(made("a", destroys, under(forbids))) + ": acme/dev/TerraformStack/a", Who: "whoever may change the policy or the document that forbids it"}}},
		"one is deferred": {of(made("a", yesOf("grace")), made("b", deferredUntil("a"))), []comment.Block{
			{What: "deferred until acme/dev/TerraformStack/a is applied: acme/dev/TerraformStack/b", Who: "nobody: it is planned, shown and gated then"}}},
		"somebody said no": {of(made("a", noOf("linus"))), []comment.Block{
			{What: "rejected: by linus: acme/dev/TerraformStack/a", Who: "whoever said so, with `reeve approve`; or a commit that makes another plan of it"}}},
		"many failed": {of(six...), []comment.Block{
			{What: "failed: acme/dev/TerraformStack/a, acme/dev/TerraformStack/b, acme/dev/TerraformStack/c, acme/dev/TerraformStack/d, acme/dev/TerraformStack/e and 1 more",
				Who: "its author; `reeve rerun` tries again"}}},
		"the tree has errors": {errs, []comment.Block{
			{What: "the merged tree has 3 errors; nothing in a folder with one is planned", Who: "its author"}}},
		"the author is a stranger": {refused(stackjob.ReasonUntrusted), []comment.Block{
			{What: stackjob.ReasonUntrusted.Sentence(), Who: "anybody who may write to the repository, with `reeve plan` after reading the change"}}},
		"it conflicts": {refused(stackjob.ReasonConflict), []comment.Block{{What: stackjob.ReasonConflict.Sentence(), Who: "its author"}}},
		"another holds the stacks": {held, []comment.Block{
			{What: "held for pull request 8 until it is merged: " + namesOf([]schema.ResourceKey{at("a"), at("b")}), Who: "whoever merges or closes that one, or writes reeve unlock there"},
			{What: detail(made("a", under(first))) + ": acme/dev/TerraformStack/a, acme/dev/TerraformStack/b", Who: "anybody who may write to the repository, but not the author"}}},
		"it is closed": {closed(of(made("a"), made("b", in(stackjob.Failed)))), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(c.want, derive(c.in).Blocks); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestAnApprovalThatAnotherPlanVoidedIsTold(t *testing.T) {
	t.Parallel()
	shown := func(digest string, approved bool) pull.Shown {
		return pull.Shown{Plans: []pull.ShownPlan{{Key: at("a"), Digest: digest, Approved: approved}}}
	}
	told := "the plan of acme/dev/TerraformStack/a is another than the one that was approved: older → a"
	for name, c := range map[string]struct {
		shown []pull.Shown
		row   subject
		want  []string
	}{
		"nothing was shown":                        {nil, made("a"), nil},
		"another was shown and not approved":       {[]pull.Shown{shown("sha256:older", false)}, made("a"), nil},
		"the same was approved":                    {[]pull.Shown{shown("sha256:a", true)}, made("a"), nil},
		"another was approved":                     {[]pull.Shown{shown("sha256:older", true)}, made("a"), []string{told}},
		"another was approved, and shown no more":  {[]pull.Shown{shown("sha256:older", true), {}}, made("a"), []string{told}},
		"another and then the same were approved":  {[]pull.Shown{shown("sha256:older", true), shown("sha256:a", true)}, made("a"), nil},
		"another was approved, this is not made":   {[]pull.Shown{shown("sha256:older", true)}, made("a", in(stackjob.Planning)), nil},
		"what was approved is of another resource": {[]pull.Shown{shown("sha256:older", true)}, made("b"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := of(c.row)
			in.pull.Shown = c.shown
			if d := cmp.Diff(c.want, derive(in).Moved); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestThePlansThatAreShownAreThoseThatChangeSomething(t *testing.T) {
	t.Parallel()
	in := of(made("a"), made("b", yesOf("grace")), made("c", unchanged), made("d", in(stackjob.Planning)), made("e", in(stackjob.Failed)), made("f", deferredUntil("a")))
	want := []pull.ShownPlan{{Key: at("a"), Digest: "sha256:a", Job: "sj_a"}, {Key: at("b"), Digest: "sha256:b", Job: "sj_b", Approved: true}}
	if d := cmp.Diff(want, shownPlans(in, derive(in))); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestTheFirstApprovalToExpireIsTold(t *testing.T) {
	t.Parallel()
	pic := of(made("a", yesOf("grace")), made("b", yesOf("grace")))
	pic.rows[1].said[0].At = noon.Add(-time.Hour)
	if got := derive(pic).ExpiresAt; !got.IsZero() {
		t.Errorf("approvals that never expire expire at %s", got)
	}
	pic.expiry = 24 * time.Hour
	if got := derive(pic).ExpiresAt; !got.Equal(noon.Add(23 * time.Hour)) {
		t.Errorf("they expire at %s", got)
	}
	if got := derive(merged(pic)).ExpiresAt; !got.IsZero() {
		t.Errorf("after the merge they expire at %s", got)
	}
}

func TestStatusesBeforeTheMergeAreOfPlansAndOfWhatIsAppliedByThen(t *testing.T) {
	t.Parallel()
	type states map[string]comment.StatusState
	for name, c := range map[string]struct {
		in   picture
		want states
	}{
		"plans are being made": {of(made("a", in(stackjob.Planning))), states{"reeve/plan": comment.Pending}},
		"one waits":            {of(made("a")), states{"reeve/plan": comment.Success, "reeve/approval": comment.Pending}},
		"one failed":           {of(made("a", in(stackjob.Failed))), states{"reeve/plan": comment.Failure, "reeve/approval": comment.Pending}},
		"one was rejected":     {of(made("a", noOf("linus"))), states{"reeve/plan": comment.Success, "reeve/approval": comment.Failure}},
		"all are approved":     {of(made("a", yesOf("grace"))), states{"reeve/plan": comment.Success, "reeve/approval": comment.Success}},
		"it conflicts":         {refused(stackjob.ReasonConflict), states{"reeve/plan": comment.Failure, "reeve/approval": comment.Pending}},
		"one of two environments is applied before the merge": {of(made("prod/a", yesOf("grace")), made("b", under(first), yesOf("grace"))),
			states{"reeve/plan": comment.Success, "reeve/approval": comment.Success, "reeve/apply: dev": comment.Pending}},
		"it is being applied before the merge": {of(made("a", under(first), yesOf("grace"), carriedOut(stackjob.Applying), askedFor("sj_x"))),
			states{"reeve/plan": comment.Success, "reeve/apply: dev": comment.Pending}},
		"it was applied before the merge": {of(made("a", under(first), yesOf("grace"), carriedOut(stackjob.Succeeded))),
			states{"reeve/plan": comment.Success, "reeve/approval": comment.Success, "reeve/apply: dev": comment.Success}},
		"its apply before the merge failed": {of(made("a", under(first), yesOf("grace"), carriedOut(stackjob.Failed))),
			states{"reeve/plan": comment.Success, "reeve/approval": comment.Success, "reeve/apply: dev": comment.Failure}},
		"merged, one was applied and one waits": {merged(of(made("prod/a", carriedOut(stackjob.WaitingApply)), made("b", carriedOut(stackjob.Succeeded)))),
			states{"reeve/plan": comment.Success, "reeve/approval": comment.Pending, "reeve/apply: dev": comment.Success, "reeve/apply: prod": comment.Pending}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := states{}
			for context, line := range wantedStatuses(c.in, derive(c.in)) {
				got[context] = line.State
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestWhatIsDerivedHoldsTogether states what is true of every picture.
func TestWhatIsDerivedHoldsTogether(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(name string) subject{
		"waiting":   func(n string) subject { return made(n) },
		"approved":  func(n string) subject { return made(n, yesOf("grace")) },
		"rejected":  func(n string) subject { return made(n, noOf("linus")) },
		"planned":   func(n string) subject { return made(n, under(open)) },
		"unchanged": func(n string) subject { return made(n, unchanged) },
		"forbidden": func(n string) subject { return made(n, destroys, under(forbids)) },
		"queued":    func(n string) subject { return made(n, in(stackjob.Queued)) },
		"planning":  func(n string) subject { return made(n, in(stackjob.Planning)) },
		"failed":    func(n string) subject { return made(n, in(stackjob.Failed)) },
		"early":     func(n string) subject { return made(n, under(first), yesOf("grace")) },
	}
	for _, state := range stackjob.States() {
		kinds["carried "+string(state)] = func(n string) subject { return made(n, carriedOut(state)) }
	}
	var names []string
	for n := range kinds {
		names = append(names, n)
	}
	slices.Sort(names)
	rapid.Check(t, func(r *rapid.T) {
		var rows []subject
		for i, kind := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 6).Draw(r, "rows") {
			name := fmt.Sprintf("%s/s%d", rapid.SampledFrom([]string{"dev", "prod"}).Draw(r, "env"), i)
			s := kinds[kind](name)
			if i > 0 && rapid.Bool().Draw(r, "after") {
				s.row.After = []schema.ResourceKey{rows[i-1].row.Key}
			}
			rows = append(rows, s)
		}
		pic := of(rows...)
		switch rapid.SampledFrom([]string{"open", "merged", "closed"}).Draw(r, "phase") {
		case "merged":
			pic = merged(pic)
		case "closed":
			pic = closed(pic)
		}
		view := derive(pic)
		if len(view.Rows) != len(rows) {
			r.Fatalf("%d rows of %d", len(view.Rows), len(rows))
		}
		if d := cmp.Diff(view, derive(pic)); d != "" {
			r.Fatalf("derived again it is another:\n%s", d)
		}
		for i, row := range view.Rows {
			approve := "reeve approve " + row.Key.Env
			asksFor := slices.Contains(view.Commands, approve)
			blocked := slices.ContainsFunc(view.Blocks, func(b comment.Block) bool { return strings.Contains(b.What, row.Key.String()) })
			switch {
			case view.State == comment.Closed && (row.State == comment.RowWaiting || row.State == comment.RowPlanning || row.State == comment.RowQueued):
				r.Fatalf("%s is %s though the pull request is closed", row.Key, row.State)
			case row.State == comment.RowWaiting && view.State == comment.Approved:
				r.Fatalf("%s waits though all is said to be approved", row.Key)
			case row.State == comment.RowWaiting && view.State != comment.Planning && !asksFor:
				r.Fatalf("%s waits and %v does not tell how to approve it", row.Key, view.Commands)
			case row.State == comment.RowWaiting && !blocked:
				r.Fatalf("%s waits and %v does not tell so", row.Key, view.Blocks)
			case row.State == comment.RowApproved && !rows[i].carries && row.Has < row.Needs:
				r.Fatalf("%s is approved with %d of %d", row.Key, row.Has, row.Needs)
			case row.State == comment.RowApplied && !rows[i].carries:
				r.Fatalf("%s is applied by a job that only plans", row.Key)
			}
		}
		for _, c := range view.Commands {
			if view.State == comment.Closed {
				r.Fatalf("%q is offered on a closed pull request", c)
			}
			if env, is := strings.CutPrefix(c, "reeve approve "); is && !slices.ContainsFunc(view.Rows, func(row comment.Row) bool { return row.Key.Env == env }) {
				r.Fatalf("%q is of no environment here", c)
			}
		}
		for _, p := range shownPlans(pic, view) {
			i := slices.IndexFunc(rows, func(s subject) bool { return s.row.Key == p.Key })
			want := startOf(rows[i].job) // what waits to be started stands there as what it wants
			if !rows[i].carries || rows[i].job.State != stackjob.WaitingStart {
				want = rows[i].job.Plan.Digest
			}
			if p.Digest != want || p.Approved != (view.Rows[i].State == comment.RowApproved) {
				r.Fatalf("what is shown of %s is %+v", p.Key, p)
			}
		}
	})
}
