package runner

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"filippo.io/age"

	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// sealPlan seals the plan at path into the folder, durably, and returns the digest
// of the clear one.
func sealPlan(path, folder, recipient string) (digest string, err error) {
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		return "", fmt.Errorf("seal the plan: %w", err)
	}
	in, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("seal the plan: %w", err)
	}
	defer in.Close()
	// Not atomic: it counts only when the result is there, which comes later.
	out, err := os.OpenFile(filepath.Join(folder, engine.SealedPlan), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("seal the plan: %w", err)
	}
	sum := sha256.New()
	err = func() error {
		buffer := bufio.NewWriterSize(out, 128<<10)
		w, err := age.Encrypt(buffer, to)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.MultiWriter(w, sum), in); err != nil {
			return err
		}
		return errors.Join(w.Close(), buffer.Flush(), out.Sync())
	}()
	if err = errors.Join(err, out.Close()); err != nil {
		return "", fmt.Errorf("seal the plan: %w", err)
	}
	return digestText(sum.Sum(nil)), nil
}

// unsealPlan opens the sealed plan into path. The digest is that of all it wrote.
func unsealPlan(sealed, path, identity string) (digest string, err error) {
	id, err := age.ParseX25519Identity(identity)
	if err != nil {
		return "", errors.New("open the sealed plan: the task holds no identity that could") // the error would quote it
	}
	in, err := os.Open(sealed)
	if err != nil {
		return "", fmt.Errorf("open the sealed plan: %w", err)
	}
	defer in.Close()
	r, err := age.Decrypt(bufio.NewReaderSize(in, 128<<10), id)
	if err != nil {
		return "", fmt.Errorf("open the sealed plan: %w", err)
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("open the sealed plan: %w", err)
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, sum), r)
	if err = errors.Join(err, out.Close()); err != nil {
		return "", fmt.Errorf("open the sealed plan: %w", err)
	}
	return digestText(sum.Sum(nil)), nil
}

func digestText(sum []byte) string { return "sha256:" + hex.EncodeToString(sum) }

// notTheSame is the failure of a saved plan that cannot be what was gated.
func notTheSame(why string) *engine.Failure {
	return failure(engine.ClassPerson, stackjob.ReasonPlanChanged, "the saved plan is damaged or another one",
		"The saved plan is not the one that was gated: "+why+".\nNothing was applied. Run the job again for a fresh plan.")
}
