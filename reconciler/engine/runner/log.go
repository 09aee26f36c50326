package runner

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// logPause is the pause between two looks at a log that does not grow.
const logPause = 30 * time.Millisecond

// Follow says whether a reader waits for more.
type Follow bool

// The ways to read a log.
const (
	// AsItIs ends with what is there now.
	AsItIs Follow = false
	// ToTheEnd waits for what the runner writes, and ends when it has ended.
	ToTheEnd Follow = true
)

// OpenLog reads the log of a phase, which may still run, from a byte offset.
// Secrets are masked in it. When ctx ends, reading fails with its error. A log that
// is not there is empty.
func OpenLog(ctx context.Context, folder string, from int64, follow Follow) (io.ReadCloser, error) {
	l := &logReader{ctx: ctx, folder: folder, offset: max(0, from), follow: follow}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

type logReader struct {
	ctx    context.Context
	folder string
	file   *os.File // nil as long as there is none
	offset int64
	follow Follow
	// last tells that the runner had ended before the last read began.
	last bool
}

func (l *logReader) open() error {
	f, err := os.Open(filepath.Join(l.folder, logFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	l.file = f
	return err
}

// Read blocks until there is something, or the end.
func (l *logReader) Read(p []byte) (int, error) {
	for {
		if err := l.ctx.Err(); err != nil {
			return 0, err
		}
		if l.file == nil {
			if err := l.open(); err != nil {
				return 0, err
			}
		}
		if l.file != nil {
			n, err := l.file.ReadAt(p, l.offset)
			if n > 0 || len(p) == 0 {
				l.offset += int64(n)
				return n, nil
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return 0, err
			}
		}
		if l.last || l.follow == AsItIs {
			return 0, io.EOF
		}
		held, err := isHeld(l.folder)
		if err != nil {
			return 0, err
		}
		if l.last = !held; l.last {
			continue
		}
		select {
		case <-l.ctx.Done():
		case <-time.After(logPause):
		}
	}
}

// Close ends the reading.
func (l *logReader) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
