package statefile

import (
	"os"
	"time"
)

// Follower reads the file of a state at which an engine may be at work, each version once.
// The zero value has read nothing. It is not safe for concurrent use.
type Follower struct {
	last os.FileInfo
	// filled tells that there is content, so that an empty file is one that is being written.
	filled bool
}

const (
	// A file system tells times no finer than this: a file that is younger may be written
	// again, and look as it did.
	finest = 20 * time.Millisecond
	// An engine that writes into the file itself is at it for some milliseconds, or for as
	// long as a busy machine does not let it go on.
	tries, pause = 200, 10 * time.Millisecond
	// A file that is empty from the beginning may stay so: engines make it when they lock it.
	emptyTries = 5
)

// Filled tells that the engine has something to write, or has written it.
func (f *Follower) Filled() {
	f.filled = true
	if f.last != nil && f.last.Size() == 0 {
		f.last = nil
	}
}

// Read gives take the file's content, if it is another than what take was last given or if
// nobody knows. An error of take means that the content is not whole: then it is read again,
// and after a few times left until it moves. A file that is not there is left, too.
func (f *Follower) Read(path string, take func([]byte) error) {
	for try := range tries {
		st, err := os.Stat(path)
		if err != nil || f.last != nil && os.SameFile(st, f.last) && st.ModTime().Equal(f.last.ModTime()) && st.Size() == f.last.Size() {
			return
		}
		if try > 0 {
			time.Sleep(pause)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return
		}
		if err = take(b); err == nil {
			f.filled = true
		}
		if err == nil || try == tries-1 || len(b) == 0 && !f.filled && try >= emptyTries {
			if time.Since(st.ModTime()) > finest {
				f.last = st
			}
			return
		}
	}
}
