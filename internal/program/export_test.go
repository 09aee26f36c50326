package program

import "time"

// SetNow puts another clock in.
func (f *Finder) SetNow(now func() time.Time) { f.now = now }
