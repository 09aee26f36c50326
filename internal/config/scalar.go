package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Role is what a token allows.
type Role string

// The roles. RoleWrite includes RoleRead.
const (
	RoleRead  Role = "read"
	RoleWrite Role = "write"
)

// Mode says what of a local folder is reconciled.
type Mode string

// The modes.
const (
	Committed Mode = "committed"
	Worktree  Mode = "worktree"
)

// ForgeKind names the program that a forge runs; "" means "by its host".
type ForgeKind string

// The kinds of forges.
const (
	GitHub ForgeKind = "github"
	GitLab ForgeKind = "gitlab"
	Gitea  ForgeKind = "gitea"
)

// EngineName names an engine; "" means "the one that is installed".
type EngineName string

// The engines.
const (
	Terraform EngineName = "terraform"
	OpenTofu  EngineName = "tofu"
)

// Level is a log level.
type Level string

// The levels.
const (
	LevelDebug Level = "debug"
	LevelInfo  Level = "info"
	LevelWarn  Level = "warn"
	LevelError Level = "error"
)

// Format is a log format.
type Format string

// The formats.
const (
	FormatText Format = "text"
	FormatJSON Format = "json"
)

// word is a closed set of strings.
type word interface{ words() []string }

func (Role) words() []string       { return []string{string(RoleRead), string(RoleWrite)} }
func (Mode) words() []string       { return []string{string(Committed), string(Worktree)} }
func (EngineName) words() []string { return []string{string(Terraform), string(OpenTofu)} }
func (ForgeKind) words() []string  { return []string{string(GitHub), string(GitLab), string(Gitea)} }
func (Level) words() []string {
	return []string{string(LevelDebug), string(LevelInfo), string(LevelWarn), string(LevelError)}
}
func (Format) words() []string { return []string{string(FormatText), string(FormatJSON)} }

// measure is a scalar with a syntax of its own.
type measure interface {
	encoding.TextUnmarshaler
	// syntax describes the values in words, for "expected …".
	syntax() string
}

// Duration is a length of time, written as Go writes it: "90s", "1h30m".
type Duration time.Duration

// Std is the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String is "1h30m", without zero parts at the end.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration that is not negative.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return errors.New("not a duration")
	}
	*d = Duration(v)
	return nil
}

func (Duration) syntax() string { return `a duration such as "90s", "5m" or "1h30m"` }

// Size is a number of bytes: a plain number, or one with a unit (KiB, MiB, GiB,
// TiB, or kB, MB, GB, TB for powers of ten).
type Size int64

var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}, {"", 1},
}

// Bytes is the size in bytes.
func (s Size) Bytes() int64 { return int64(s) }

// String uses the largest binary unit that leaves a whole number.
func (s Size) String() string {
	for _, u := range units[:4] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText writes what UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a whole number of bytes, kilobytes, …
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	digits := strings.TrimRightFunc(text, func(r rune) bool { return unicode.IsLetter(r) || r == ' ' })
	unit := strings.TrimSpace(text[len(digits):])
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return errors.New("not a size")
	}
	for _, u := range units {
		if strings.EqualFold(u.name, unit) {
			if n > math.MaxInt64/u.bytes {
				return errors.New("too large")
			}
			*s = Size(n * u.bytes)
			return nil
		}
	}
	return fmt.Errorf("unknown unit %q", unit)
}

func (Size) syntax() string { return `a size such as "512MiB", "2GB" or a number of bytes` }

// Share is a part of a whole, between 0 and 1.
type Share float64

// String is "30%".
func (s Share) String() string { return strconv.FormatFloat(float64(s)*100, 'f', -1, 64) + "%" }

// MarshalText writes what UnmarshalText reads.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads "30%" or "0.3".
func (s *Share) UnmarshalText(b []byte) error {
	text, percent := strings.CutSuffix(strings.TrimSpace(string(b)), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if percent {
		v /= 100
	}
	if err != nil || math.IsNaN(v) || v < 0 || v > 1 {
		return errors.New("not a share")
	}
	*s = Share(v)
	return nil
}

func (Share) syntax() string { return `a share such as "30%" or 0.3, at most "100%"` }
