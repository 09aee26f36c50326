package runner

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// reserveSize is the room that is kept for the result. It is enough for the
// outcome of an apply; a plan that needs more is made again.
const reserveSize = 256 << 10

// resultWriter puts the result on the disk, whatever it takes.
type resultWriter struct {
	folder string
	// write writes a file atomically and durably.
	write func(folder, name string, content []byte) error
	// pause waits between tries.
	pause func(time.Duration)
	// patience is how long it is tried.
	patience time.Duration
}

// put writes the result, into the room that was reserved for it when there is no
// other. A plan for which there is no room is given up: it can be made again. The
// outcome of an apply is tried for as long as patience says.
func (w resultWriter) put(r engine.Result) error {
	b, err := json.Marshal(r)
	if err != nil {
		r = engine.Result{Phase: r.Phase, Failure: bug("the result cannot be written as JSON: " + err.Error())}
		if b, err = json.Marshal(r); err != nil {
			return err
		}
	}
	err = w.write(w.folder, resultFile, b)
	if err == nil {
		return nil
	}
	if rm := os.Remove(filepath.Join(w.folder, reserveFile)); rm == nil {
		if err = w.write(w.folder, resultFile, b); err == nil {
			return nil
		}
	}
	if r.Plan != nil && isFull(err) {
		small := engine.Result{Phase: r.Phase, Operations: r.Operations, Failure: full("the plan")}
		if b, merr := json.Marshal(small); merr == nil && w.write(w.folder, resultFile, b) == nil {
			return nil
		}
	}
	const longest = 5 * time.Second
	pause := 100 * time.Millisecond
	for waited := time.Duration(0); waited < w.patience; waited += pause {
		w.pause(pause)
		if err = w.write(w.folder, resultFile, b); err == nil {
			return nil
		}
		pause = min(2*pause, longest)
	}
	return fmt.Errorf("write the result: %w", err)
}

func failure(c engine.Class, code stackjob.ReasonCode, detail, text string) *engine.Failure {
	return &engine.Failure{Class: c, Reason: stackjob.Reason{Code: code, Detail: detail}, Text: text}
}

func bug(detail string) *engine.Failure {
	return failure(engine.ClassBug, stackjob.ReasonInternal, detail, "")
}

func full(what string) *engine.Failure {
	return failure(engine.ClassWait, stackjob.ReasonDiskFull, what,
		"There is no room left on the disk of the data folder.\nMake room; then run the job again.")
}

// trouble is a failure of the runner's own work.
func trouble(doing string, err error) *engine.Failure {
	if isFull(err) {
		return full(doing)
	}
	return failure(engine.ClassBug, stackjob.ReasonInternal, doing+": "+err.Error(), "")
}
