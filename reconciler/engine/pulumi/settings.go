package pulumi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
	"go.yaml.in/yaml/v4"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/schema"
)

const passphrase = "passphrase"

// stackSettings is a stack's settings file, Pulumi.STACK.yaml. Its JSON is YAML.
type stackSettings struct {
	SecretsProvider string         `json:"secretsprovider,omitempty" yaml:"secretsprovider"`
	EncryptedKey    string         `json:"encryptedkey,omitempty" yaml:"encryptedkey"`
	EncryptionSalt  string         `json:"encryptionsalt,omitempty" yaml:"encryptionsalt"`
	Config          map[string]any `json:"config,omitempty" yaml:"config"`
}

func parseSettings(text []byte) (stackSettings, error) {
	var s stackSettings
	err := yaml.Unmarshal(text, &s)
	return s, err
}

// keyring holds the keys of a passphrase, by salt. Pulumi makes a key by a million rounds
// of PBKDF2, a third of a second: more than all else that we do in a phase. So a key
// that was made is kept, sealed by a key of the daemon's that is on no disk of the
// workspace (docs/decisions/0183).
type keyring struct {
	phrase  string
	hashKey []byte
	sealed  map[string][]byte
	opened  map[string]config.Crypter
	// wrong are the salts that the passphrase does not fit: to find that out takes as long.
	wrong map[string]bool
	made  bool // a key was made that is not on record
}

func newKeyring(phrase string, hashKey []byte, sealed map[string][]byte) *keyring {
	k := &keyring{phrase: phrase, hashKey: hashKey, sealed: maps.Clone(sealed), opened: map[string]config.Crypter{}, wrong: map[string]bool{}}
	if k.sealed == nil {
		k.sealed = map[string][]byte{}
	}
	return k
}

// rounds are Pulumi's (sdk/go/common/resource/config.NewSymmetricCrypterFromPassphrase).
const rounds = 1_000_000

// crypter returns what encrypts with the passphrase and a salt, written as in settings
// and states: "v1:SALT:CHECK".
func (k *keyring) crypter(state string) (config.Crypter, error) {
	_, rest, ok := strings.Cut(state, ":")
	text, check, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return nil, errors.New("the salt of the stack's secrets cannot be read")
	}
	if c := k.opened[text]; c != nil {
		return c, nil
	}
	if k.wrong[state] {
		return nil, errPassphrase
	}
	salt, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("the salt of the stack's secrets cannot be read")
	}
	key := k.unseal(text)
	if key == nil {
		if key, err = pbkdf2.Key(sha256.New, k.phrase, salt, rounds, config.SymmetricCrypterKeyBytes); err != nil {
			return nil, err
		}
	}
	c := config.NewSymmetricCrypter(key)
	if said, err := c.DecryptValue(context.Background(), check); err != nil || said != "pulumi" {
		k.wrong[state] = true
		return nil, errPassphrase
	}
	if k.sealed[text] == nil {
		if k.sealed[text], err = k.seal(text, key); err != nil {
			return nil, err
		}
		k.made = true
	}
	k.opened[text] = c
	return c, nil
}

// errPassphrase means that the stack's secrets were encrypted with another passphrase.
var errPassphrase = errors.New("the stack's secrets are encrypted with another passphrase")

func (k *keyring) aead() (cipher.AEAD, error) {
	h := hmac.New(sha256.New, k.hashKey)
	fmt.Fprintf(h, "pulumi keys\x00%s", k.phrase)
	block, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (k *keyring) seal(salt string, key []byte) ([]byte, error) {
	a, err := k.aead()
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, nil, key, []byte(salt)), nil
}

// unseal returns a key on record; nil when there is none, or the daemon's key is another.
func (k *keyring) unseal(salt string) []byte {
	a, err := k.aead()
	if err != nil || k.sealed[salt] == nil {
		return nil
	}
	key, err := a.Open(nil, nil, k.sealed[salt], []byte(salt))
	if err != nil {
		delete(k.sealed, salt)
		return nil
	}
	return key
}

// decrypter opens what was encrypted with any of some salts.
func (k *keyring) decrypter(salts ...string) decrypter {
	return func(text string) (string, error) {
		err := errors.New("the stack has no salt")
		for _, s := range salts {
			if s == "" {
				continue
			}
			c, cerr := k.crypter(s)
			if cerr != nil {
				err = cerr
				continue
			}
			plain, derr := c.DecryptValue(context.Background(), text)
			if derr == nil {
				return plain, nil
			}
			err = errors.New("a secret cannot be decrypted with the stack's passphrase")
		}
		return "", err
	}
}

// newSalt makes a salt as settings hold it.
func (k *keyring) newSalt(random []byte) (string, error) {
	key, err := pbkdf2.Key(sha256.New, k.phrase, random, rounds, config.SymmetricCrypterKeyBytes)
	if err != nil {
		return "", err
	}
	text := base64.StdEncoding.EncodeToString(random)
	check, err := config.NewSymmetricCrypter(key).EncryptValue(context.Background(), "pulumi")
	if err != nil {
		return "", err
	}
	if k.sealed[text], err = k.seal(text, key); err != nil {
		return "", err
	}
	k.made = true
	return "v1:" + text + ":" + check, nil
}

// configEntry is one value of the config.
type configEntry struct {
	key    string // with its namespace
	value  any
	secret bool
}

// configOf reads the inputs as config, by key.
func configOf(inputs []byte, project string, secret []string) ([]configEntry, error) {
	inputs = bytes.TrimSpace(inputs)
	if len(inputs) == 0 || bytes.Equal(inputs, []byte("null")) {
		return nil, nil
	}
	v, err := decodeJSON(inputs)
	if err != nil {
		return nil, errors.New("the inputs are not JSON") // the error would quote them
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("the inputs are not a JSON object")
	}
	var out []configEntry
	for k, v := range m {
		if v == nil { // Pulumi has no null in config: it is not set
			continue
		}
		e := configEntry{key: k, value: v, secret: slices.Contains(secret, k)}
		if !strings.Contains(k, ":") {
			e.key = project + ":" + k
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b configEntry) int { return cmp.Compare(a.key, b.key) })
	for i := 1; i < len(out); i++ {
		if key := out[i].key; key == out[i-1].key { // "a" and "demo:a": which one counts would be chance
			_, name, _ := strings.Cut(key, ":")
			return nil, telling.Author(stackjob.ReasonEngine, fmt.Sprintf("config has %s and %s, which are the same", name, key),
				fmt.Sprintf("The config has %s and %s, which are the same: the project is called %s.\nTake one of them out.", name, key, project))
		}
	}
	return out, nil
}

// encryption makes values of the config of which parts are secret. What is secret in
// Pulumi's config are texts, so every leaf of such a part becomes one.
type encryption struct {
	encrypt func(text string) (string, error)
	// secret are the places of secret parts (JSON pointers).
	secret []string
	// typed says that something encrypted was no text before.
	typed bool
}

// of is the part at a place with what is secret in it encrypted; secret says that all of it is.
func (n *encryption) of(v any, at string, secret bool) (_ any, err error) {
	secret = secret || slices.Contains(n.secret, at)
	switch v := v.(type) {
	case map[string]any:
		// To Pulumi, {"secure": "text"} is a ciphertext. With the text encrypted it is a map.
		_, reserved := v["secure"].(string)
		reserved = reserved && len(v) == 1
		out := make(map[string]any, len(v))
		for k, e := range v {
			if out[k], err = n.of(e, schema.Pointer(at, k), secret || reserved); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			if out[i], err = n.of(e, schema.Pointer(at, strconv.Itoa(i)), secret); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	if !secret || v == nil {
		return v, nil
	}
	text, ok := v.(string)
	if !ok {
		n.typed = true
		text = string(facts.Canonical(v))
	}
	c, err := n.encrypt(text)
	return map[string]any{"secure": c}, err
}

// text is the settings as YAML, in the form that is JSON too.
func (s stackSettings) text() ([]byte, error) { return json.Marshal(s) }
