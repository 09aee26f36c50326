package statefile

import (
	"os"
	"time"
)

// Follower reads the file of a state at which an engine may be at work, each version once.
// The zero value has read nothing. It is not safe for concurrent use.
type Follower struct{ last os.FileInfo }

const (
	// A file system tells times no finer than this: a file that is younger may be written
	// again, and look as it did.
	finest = 20 * time.Millisecond
	// An engine that writes into the file itself is at it for some milliseconds.
	tries, pause = 10, 5 * time.Millisecond
)

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
		err = take(b)
		if err == nil || try == tries-1 {
			if time.Since(st.ModTime()) > finest {
				f.last = st
			}
			return
		}
	}
}
