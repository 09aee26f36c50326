package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/report"
)

// writeTable writes a table, or a sentence when it has no rows.
func writeTable(w io.Writer, t report.Table, empty string) error {
	if len(t.Rows) == 0 {
		_, err := fmt.Fprintln(w, empty)
		return err
	}
	_, err := io.WriteString(w, t.String())
	return err
}

// within names the context that a list was narrowed to: a context that was chosen long
// ago, or misspelt, must not look like nothing being there.
func within(f api.Filter) string {
	switch {
	case f.Org == "":
		return ""
	case f.Env == "":
		return " in the context " + f.Org
	}
	return " in the context " + f.Org + "/" + f.Env
}

// ago is how long ago t was, roughly; "" for never.
func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return report.Ago(t, time.Now()) + " ago"
}

func at(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
