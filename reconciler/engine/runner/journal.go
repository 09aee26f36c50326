package runner

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/stackreeve/stackreeve/reconciler/engine"
)

const (
	// syncAfter is how long a line may wait for the disk.
	syncAfter = 50 * time.Millisecond
	// maxPending bounds the lines that wait for room on the disk.
	maxPending = 1 << 20
)

// journal is the writing side. It is safe for concurrent use.
type journal struct {
	mu   sync.Mutex
	file *os.File
	now  func() time.Time
	seq  int64
	// size is where the next line begins: what is behind it is half a line.
	size int64
	// pending are whole lines that could not be written.
	pending []byte
	dirty   bool
	sync    *time.Timer
}

func openJournal(folder string, now func() time.Time) (*journal, error) {
	f, err := os.OpenFile(filepath.Join(folder, journalFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &journal{file: f, now: now, size: size}, nil
}

// write appends an event, for readers to see. That an operation starts is on the
// disk when it returns: what a reader concludes after a power cut hangs on that
// alone, and the result says the rest. The others follow soon. A line that cannot be written is kept and tried again with the next.
func (j *journal) write(e engine.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.Seq, e.At = j.seq, j.now().UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if len(j.pending) < maxPending || e.Type != engine.ResourceProgress && e.Type != engine.Message {
		j.pending = append(append(j.pending, line...), '\n')
	}
	if err := j.writePending(); err != nil {
		return err
	}
	j.dirty = true
	if e.Type != engine.OperationStarted {
		if j.sync == nil {
			j.sync = time.AfterFunc(syncAfter, func() {
				j.mu.Lock()
				defer j.mu.Unlock()
				j.sync = nil
				_ = j.flush() // comes back at the next line that must be durable
			})
		}
		return nil
	}
	return j.flush()
}

// writePending writes whole lines or nothing: a disk can be full in the middle of one.
func (j *journal) writePending() error {
	n, err := j.file.WriteAt(j.pending, j.size)
	if err != nil {
		whole := bytes.LastIndexByte(j.pending[:n], '\n') + 1
		j.size += int64(whole)
		j.pending = j.pending[whole:]
		return errors.Join(fmt.Errorf("journal: %w", err), j.file.Truncate(j.size))
	}
	j.size += int64(n)
	j.pending = nil
	return nil
}

func (j *journal) flush() error {
	if !j.dirty {
		return nil
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.dirty = false
	return nil
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.sync != nil {
		j.sync.Stop()
		j.sync = nil
	}
	return errors.Join(j.flush(), j.file.Close())
}

// tail is the reading side: it returns events as they are written.
type tail struct {
	path   string
	file   *os.File
	reader *bufio.Reader
	part   []byte // a line whose end has not been written
}

func openTail(folder string) *tail { return &tail{path: filepath.Join(folder, journalFile)} }

// next returns the next event; false when there is none yet. Lines that are no
// events are passed over: half a line of a runner that was killed.
func (t *tail) next() (engine.Event, bool, error) {
	if t.file == nil {
		f, err := os.Open(t.path)
		if errors.Is(err, fs.ErrNotExist) {
			return engine.Event{}, false, nil
		}
		if err != nil {
			return engine.Event{}, false, err
		}
		t.file, t.reader = f, bufio.NewReader(f)
	}
	for {
		part, err := t.reader.ReadSlice('\n')
		t.part = append(t.part, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return engine.Event{}, false, nil
		case err != nil:
			return engine.Event{}, false, fmt.Errorf("read the journal: %w", err)
		}
		var e engine.Event
		err = json.Unmarshal(t.part, &e)
		t.part = t.part[:0]
		if err == nil && e.Type != "" {
			return e, true, nil
		}
	}
}

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close()
	}
}

// began tells whether an engine may have been started: an operation's line is on
// the disk before its engine starts.
func began(folder string) (bool, error) {
	t := openTail(folder)
	defer t.close()
	for {
		e, ok, err := t.next()
		if err != nil || !ok {
			return false, err
		}
		if e.Type == engine.OperationStarted || e.Type == engine.EngineStarted {
			return true, nil
		}
	}
}
