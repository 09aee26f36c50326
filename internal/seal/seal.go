// Package seal keeps what is secret at rest: one key file per data folder, sealing
// (age, X25519) and keyed hashes.
//
//	key, err := seal.OpenOrCreate("data/key.txt")
//	sealed, err := key.Seal([]byte("hunter2")) // for the database
//	clear, err := key.Open(sealed)
//	hash := key.Hash([]byte("hunter2"))        // "hmac:…", equal for equal values
//
// The file is what `age-keygen` writes, so that a person can read sealed values with
// the `age` program when there is no daemon. Hashes are made with a key of their
// own, derived from the identity: who has the one does not have the other.
//
// The package does not decide what is secret, and a key that is lost while sealed
// values exist is the caller's matter: it makes a new one.
package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"
)

// ErrUnsafe means that others than this user could read or replace the key file.
var ErrUnsafe = errors.New("the key file is not private")

const (
	placeholder = "(secret key)"
	// hashInfo binds the derived key to its use; another use needs other words.
	hashInfo = "stackreeve.dev/v1 keyed hashes of sensitive values"
	// passphraseInfo binds passphrases, followed by what each is used for.
	passphraseInfo = "stackreeve.dev/v1 passphrase of "
	// maxKeyFile keeps a wrong path from being read whole.
	maxKeyFile = 64 << 10
)

// Key seals, opens and hashes. It prints as a placeholder and is safe for
// concurrent use.
type Key struct {
	identity *age.X25519Identity
	hashKey  []byte
}

// OpenOrCreate reads the key file at path, or makes it, readable by this user
// alone, when there is none. Of two processes that make it at once, both end up
// with the same key. A file that others may read, or that belongs to somebody
// else, is refused with [ErrUnsafe].
func OpenOrCreate(path string) (*Key, error) {
	b, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("make the key file %s: %w", path, err)
		}
		b, err = read(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key file %s: %w", path, err)
	}
	k, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("read the key file %s: %w", path, err)
	}
	return k, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, errors.New("it is not a file")
	case st.Mode&0o077 != 0:
		return nil, fmt.Errorf("%w: its mode is %04o; run `chmod 600 %s`, and if others had access to this machine, replace it", ErrUnsafe, st.Mode&0o777, path)
	case int(st.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%w: it belongs to user %d, and this is user %d; run as its owner or `chown` it", ErrUnsafe, st.Uid, os.Geteuid())
	}
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

// create makes the file under another name first: nobody ever sees half a key.
// It is no error when somebody else was quicker.
func create(path string) error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // O_EXCL, 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // what stays is the link
	_, err = fmt.Fprintf(f, "# created: %s\n# public key: %s\n%s\n", time.Now().UTC().Format(time.RFC3339), id.Recipient(), id)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// parse never quotes what it read.
func parse(b []byte) (*Key, error) {
	ids, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil || len(ids) != 1 {
		return nil, errors.New("it does not hold exactly one age identity (AGE-SECRET-KEY-1…)")
	}
	id, ok := ids[0].(*age.X25519Identity)
	if !ok {
		return nil, errors.New("its identity is not of the kind X25519 (AGE-SECRET-KEY-1…)")
	}
	hashKey, err := hkdf.Key(sha256.New, []byte(id.String()), nil, hashInfo, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive the hash key: %w", err)
	}
	return &Key{identity: id, hashKey: hashKey}, nil
}

// Recipient is the public half, "age1…": who has it can seal.
func (k *Key) Recipient() string { return k.identity.Recipient().String() }

// Identity is the secret half, "AGE-SECRET-KEY-1…": who has it can open. Whoever
// calls it answers for where it goes.
func (k *Key) Identity() string { return k.identity.String() }

// HashKey keys the hashes. It is secret.
func (k *Key) HashKey() []byte { return bytes.Clone(k.hashKey) }

// Seal encrypts.
func (k *Key) Seal(clear []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, k.identity.Recipient())
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if _, err := w.Write(clear); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return out.Bytes(), nil
}

// Open decrypts what [Key.Seal] made. It fails when it was sealed for another key
// or was changed since.
func (k *Key) Open(sealed []byte) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), k.identity)
	if err != nil {
		return nil, fmt.Errorf("open what was sealed: %w", err)
	}
	clear, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("open what was sealed: %w", err)
	}
	return clear, nil
}

// Hash is a keyed hash, "hmac:" and HMAC-SHA256 in hex: equal for equal values, and
// of no use to somebody who guesses values but lacks the key.
func (k *Key) Hash(value []byte) string {
	m := hmac.New(sha256.New, k.hashKey)
	_, _ = m.Write(value) // a hash takes everything
	return "hmac:" + hex.EncodeToString(m.Sum(nil))
}

// Passphrase is a secret for one use, derived from the identity: the same for the same
// use for as long as the key file is, and of no use for finding any other.
func (k *Key) Passphrase(use string) (string, error) {
	b, err := hkdf.Key(sha256.New, []byte(k.identity.String()), nil, passphraseInfo+use, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive a passphrase: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// Format writes a placeholder for every verb.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, placeholder) }

// MarshalText is a placeholder, for JSON, YAML and the like.
func (k *Key) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// LogValue is a placeholder.
func (k *Key) LogValue() slog.Value { return slog.StringValue(placeholder) }
