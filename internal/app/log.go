package app

import (
	"context"
	"io"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner"
)

// openLog opens the log of one phase of a job.
func openLog(ctx context.Context, folder string, from int64, f api.Follow) (io.ReadCloser, error) {
	mode := runner.AsItIs
	if f == api.FollowYes {
		mode = runner.ToTheEnd
	}
	return runner.OpenLog(ctx, folder, from, mode)
}
