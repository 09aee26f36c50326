package terraform

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A saved plan is the engine's file. When the plan knew secrets that an apply has to mask,
// and could not learn again without a process of its own, they stand behind it: the JSON
// of a carried, its length in eight bytes, and carriedMark. So they are sealed with the plan,
// and its digest is theirs, too. The engine gets its own part alone: of a file that OpenTofu
// encrypted it would not take the whole.
type carried struct {
	// Hidden are the secrets, in clear as they are in the plan.
	Hidden []string `json:"hidden"`
}

// carriedMark ends a plan file with secrets behind the engine's part.
const carriedMark = "\nreeve: hidden 1\n"

var errCarried = errors.New("what the saved plan carries for its apply cannot be read")

// carry writes the secrets behind the plan.
func carry(planFile string, hidden []string) error {
	if len(hidden) == 0 {
		return nil
	}
	b, err := json.Marshal(carried{Hidden: hidden})
	if err != nil {
		return err
	}
	b = binary.BigEndian.AppendUint64(b, uint64(len(b)))
	f, err := os.OpenFile(planFile, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, carriedMark...))
	return errors.Join(err, f.Close())
}

// savedPlan is a saved plan that is applied.
type savedPlan struct {
	file string
	// engine is the length of the engine's part; whole tells that nothing else is there.
	engine int64
	whole  bool
	hidden []string
}

// openSaved reads what a saved plan carries.
func openSaved(planFile string) (savedPlan, error) {
	s := savedPlan{file: planFile, whole: true}
	f, err := os.Open(planFile)
	if err != nil {
		return s, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return s, err
	}
	s.engine = st.Size()
	const end = int64(8 + len(carriedMark))
	if s.engine < end {
		return s, nil
	}
	tail := make([]byte, end)
	if _, err := f.ReadAt(tail, s.engine-end); err != nil {
		return s, err
	}
	if !bytes.HasSuffix(tail, []byte(carriedMark)) {
		return s, nil
	}
	length := binary.BigEndian.Uint64(tail)
	if length > uint64(s.engine-end) {
		return s, errCarried
	}
	b := make([]byte, length)
	s.engine, s.whole = s.engine-end-int64(length), false
	if _, err := f.ReadAt(b, s.engine); err != nil {
		return s, err
	}
	var c carried
	if json.Unmarshal(b, &c) != nil { // its error would quote
		return s, errCarried
	}
	s.hidden = c.Hidden
	return s, nil
}

// forEngine is the path of a file with the engine's part alone, in the folder where that is
// not the whole.
func (s savedPlan) forEngine(folder string) (string, error) {
	if s.whole {
		return s.file, nil
	}
	in, err := os.Open(s.file)
	if err != nil {
		return "", err
	}
	defer in.Close()
	path := filepath.Join(folder, "plan")
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.CopyN(out, in, s.engine)
	if err := errors.Join(err, out.Close()); err != nil {
		return "", fmt.Errorf("take the engine's plan out of the saved one: %w", err)
	}
	return path, nil
}
