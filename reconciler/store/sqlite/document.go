package sqlite

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// largePlan is what of a plan is kept beside the job's document, so that a list of
// jobs reads little.
type largePlan struct {
	Resources []stackjob.ResourceChange `json:"resources,omitempty"`
	Outputs   []stackjob.OutputChange   `json:"outputs,omitempty"`
	Drift     []stackjob.ResourceChange `json:"drift,omitempty"`
	Text      string                    `json:"text,omitempty"`
}

// row is a job as it is stored.
type row struct {
	version  int64
	document string
	plan     sql.NullString
}

// encode splits a job into its document and the large parts of its plan.
func encode(j stackjob.Job) (row, error) {
	var r row
	if j.Plan != nil {
		b, err := json.Marshal(largePlan{j.Plan.Resources, j.Plan.Outputs, j.Plan.Drift, j.Plan.Text})
		if err != nil {
			return r, fmt.Errorf("write the plan of job %s: %w", j.ID, err)
		}
		r.plan = sql.NullString{String: string(b), Valid: true}
		slim := *j.Plan
		slim.Resources, slim.Outputs, slim.Drift, slim.Text = nil, nil, nil, ""
		j.Plan = &slim
	}
	b, err := json.Marshal(j)
	if err != nil {
		return r, fmt.Errorf("write job %s: %w", j.ID, err)
	}
	r.document = string(b)
	return r, nil
}

// decode is encode's inverse; without the plan column it gives the job as List does.
func (r row) decode() (stackjob.Job, error) {
	var j stackjob.Job
	if err := json.Unmarshal([]byte(r.document), &j); err != nil {
		return j, fmt.Errorf("read a recorded job: %w", err)
	}
	if j.Plan == nil || !r.plan.Valid {
		return j, nil
	}
	var large largePlan
	if err := json.Unmarshal([]byte(r.plan.String), &large); err != nil {
		return j, fmt.Errorf("read the plan of job %s: %w", j.ID, err)
	}
	j.Plan.Resources, j.Plan.Outputs, j.Plan.Drift, j.Plan.Text = large.Resources, large.Outputs, large.Drift, large.Text
	return j, nil
}

// fromJSON reads one value that this package wrote.
func fromJSON[T any](s string) (T, error) {
	var v T
	err := json.Unmarshal([]byte(s), &v)
	return v, err
}

// toJSON writes a value of the store's own nouns, which can always be written.
func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("sqlite: %T cannot be written: %v", v, err))
	}
	return string(b)
}

// endedAt is the column that tells open jobs from ended ones.
func endedAt(j stackjob.Job, now time.Time) sql.NullInt64 {
	if !j.State.IsFinal() {
		return sql.NullInt64{}
	}
	at := j.EndedAt
	if at.IsZero() {
		at = now
	}
	return sql.NullInt64{Int64: micros(at), Valid: true}
}
