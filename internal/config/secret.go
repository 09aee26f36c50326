package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

const placeholder = "(secret)"

// Secret is text that never prints: every way of formatting, marshalling or
// logging it gives a placeholder. Reveal is the only way to the text.
type Secret struct{ text string }

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{text: text} }

// Reveal returns the text. Whoever calls it answers for where it goes.
func (s Secret) Reveal() string { return s.text }

// IsZero tells whether there is no secret.
func (s Secret) IsZero() bool { return s.text == "" }

// String is the placeholder.
func (s Secret) String() string { return placeholder }

// GoString is the placeholder.
func (s Secret) GoString() string { return placeholder }

// Format writes the placeholder for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(placeholder)) }

// MarshalText is the placeholder, for JSON, YAML and the like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// LogValue is the placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(placeholder) }

// IsZero tells whether the source names nothing.
func (s SecretSource) IsZero() bool { return s == SecretSource{} }

// String says where the secret is, never what it is.
func (s SecretSource) String() string {
	switch {
	case s.Env != "":
		return "environment variable " + s.Env
	case s.File != "":
		return "file " + s.File
	}
	return "nowhere"
}

// maxSecretBytes keeps a wrong path (a device, a database) from being read whole.
const maxSecretBytes = 1 << 20

// Read gets the secret now: from environ (as os.Environ gives it) or the file. Read it each
// time it is needed, so that a rotated file takes effect. The error names the
// place and holds nothing of the secret.
func (s SecretSource) Read(environ []string) (Secret, error) {
	switch {
	case s.Env != "":
		if v, ok := lookup(environ, s.Env); ok && v != "" {
			return NewSecret(v), nil
		}
		return Secret{}, fmt.Errorf("read secret: environment variable %s is not set", s.Env)
	case s.File != "":
		text, err := readSecretFile(s.File)
		if err != nil {
			return Secret{}, fmt.Errorf("read secret: %w", err)
		}
		return NewSecret(text), nil
	}
	return Secret{}, errors.New("read secret: neither an environment variable nor a file is named")
}

func readSecretFile(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if st.IsDir() || st.Size() > maxSecretBytes {
		return "", &fs.PathError{Op: "read", Path: path, Err: errors.New("not a file with a secret in it")}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(b), " \t\r\n")
	if text == "" {
		return "", &fs.PathError{Op: "read", Path: path, Err: errors.New("the file is empty")}
	}
	return text, nil
}

// lookup finds a variable in a list as os.Environ gives it; the last one wins.
func lookup(environ []string, name string) (string, bool) {
	for i := len(environ) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(environ[i], "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}
