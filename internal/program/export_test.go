package program

import "time"

// SetNow puts another clock in.
func (f *Finder) SetNow(now func() time.Time) { f.now = now }

// SetPatience says how long a program may take to answer.
func (f *Finder) SetPatience(d time.Duration) { f.patience = d }
