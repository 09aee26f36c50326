package remote

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// placeholder is what every way of printing a Secret gives.
const placeholder = "(secret)"

// Secret is text that never prints.
type Secret struct{ text string }

// Reveal is the only way to the text.
func (s Secret) Reveal() string { return s.text }

// Format writes the placeholder for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, placeholder) }

// MarshalText is the placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// LogValue is the placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(placeholder) }

// SecretSource says where a secret is: in an environment variable or in a file. At
// most one is set; none means no secret.
type SecretSource struct{ Env, File string }

// IsZero tells whether it names nothing.
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

// Read gets the secret as it is now, so that a rotated file takes effect at the next
// use. White space at its end is dropped.
func (s SecretSource) Read() (Secret, error) {
	var text string
	switch {
	case s.Env != "":
		text = os.Getenv(s.Env)
	case s.File != "":
		f, err := os.Open(s.File)
		if err != nil {
			return Secret{}, fmt.Errorf("read a credential: %w", err)
		}
		b, err := io.ReadAll(io.LimitReader(f, 1<<20))
		if err = errors.Join(err, f.Close()); err != nil {
			return Secret{}, fmt.Errorf("read a credential: %w", err)
		}
		text = string(b)
	default:
		return Secret{}, nil
	}
	if text = strings.TrimRight(text, " \t\r\n"); text == "" {
		return Secret{}, fmt.Errorf("the credential in %s is empty", s)
	}
	return Secret{text}, nil
}

// HostKeys says which ssh servers are trusted.
type HostKeys string

const (
	// StrictHostKeys trusts only what known_hosts names. It is the zero value.
	StrictHostKeys HostKeys = ""
	// AnyHostKey trusts every server: only for networks that are trusted otherwise.
	AnyHostKey HostKeys = "any"
)

// Proxy says whether a proxy is used for https.
type Proxy string

const (
	// NoProxy connects directly. It is the zero value.
	NoProxy Proxy = ""
	// ProxyFromEnvironment follows HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
	ProxyFromEnvironment Proxy = "environment"
)

// Credentials say how we identify ourselves to a remote, and it to us. All secrets
// are references, read anew for each exchange.
type Credentials struct {
	// Username goes with the token; "" is "git". For ssh the URL's user counts.
	Username string
	// Token is a token or password for https.
	Token SecretSource
	// SSHKeyFile is a private key; "" asks the ssh agent (SSH_AUTH_SOCK).
	SSHKeyFile string
	// SSHPassphrase opens the key.
	SSHPassphrase SecretSource
	// KnownHosts is a known_hosts file; "" are the user's and the system's.
	KnownHosts string
	HostKeys   HostKeys
	// CAFile holds PEM certificates that https servers may be signed by, beside the
	// system's.
	CAFile string
	Proxy  Proxy
}
