// Package redact makes what an engine says fit to be kept: text without secrets and
// without what moves a terminal's cursor or makes a line read as what it is not.
//
//	w := redact.New(secrets)
//	out = w.Append(out, []byte("password is hun"))
//	out = w.Append(out, []byte("ter2\n")) // "password is (sensitive)\n"
//	out = w.Flush(out)
//
// A [Redactor] is a stream: a secret is found wherever it is cut in two. Control
// sequences go first, so that none can hide a secret, and bytes that are no UTF-8
// become U+FFFD. A secret is looked for as it is and in the forms in which programs
// write it: quoted for JSON, for URLs, in base64 at any alignment; of a secret with
// several lines each line too, because engines indent and prefix lines.
//
// Very short secrets and words that every log holds are left alone: masking them
// would make the log unreadable and hide nothing. The package has no state beside
// the stream and does no input or output.
package redact

import (
	"bytes"
	"cmp"
	"slices"
)

// Placeholder stands for a secret.
const Placeholder = "(sensitive)"

// Redactor is one stream. It is not safe for concurrent use.
type Redactor struct {
	// secrets are all that are masked, each once: known.
	secrets []string
	known   map[string]bool
	forms   formSet
	clean   cleaner
	// held is clean text that may be the beginning of a secret.
	held []byte
}

// New returns a stream that masks the secrets.
func New(secrets []string) *Redactor {
	r := &Redactor{known: map[string]bool{}}
	r.Hide(secrets)
	return r
}

// Hide masks more secrets in what comes from here on, and in what is held back.
func (r *Redactor) Hide(secrets []string) {
	before := len(r.secrets)
	for _, s := range secrets {
		if !r.known[s] {
			r.known[s] = true
			r.secrets = append(r.secrets, s)
		}
	}
	if len(r.secrets) == before {
		return // a state is looked at many times
	}
	r.forms = formsOf(r.secrets)
}

// Append appends what is known to be fit of p and of what was held back. It keeps
// back what may be the beginning of a secret.
func (r *Redactor) Append(out, p []byte) []byte {
	r.held = r.clean.append(r.held, p)
	out, n := r.forms.mask(out, r.held, more)
	r.held = append(r.held[:0], r.held[n:]...)
	return out
}

// Flush appends what was held back: the stream ends, or nothing that comes belongs
// to what was.
func (r *Redactor) Flush(out []byte) []byte {
	r.held = r.clean.flush(r.held)
	out, _ = r.forms.mask(out, r.held, complete)
	r.held = r.held[:0]
	return out
}

// Text masks one whole text and leaves the stream alone.
func (r *Redactor) Text(s string) string {
	if s == "" {
		return s
	}
	var c cleaner
	clean := c.flush(c.append(nil, []byte(s)))
	out, _ := r.forms.mask(nil, clean, complete)
	return string(out)
}

// ending says whether a text may go on.
type ending int

const (
	complete ending = iota
	more
)

// formSet are all the forms of all secrets.
type formSet struct {
	// byFirst are those that begin with a byte, the longest first.
	byFirst [256][][]byte
}

func newFormSet(forms [][]byte) formSet {
	var s formSet
	slices.SortFunc(forms, func(a, b []byte) int { return cmp.Or(cmp.Compare(len(b), len(a)), bytes.Compare(a, b)) })
	for _, f := range slices.CompactFunc(forms, bytes.Equal) {
		s.byFirst[f[0]] = append(s.byFirst[f[0]], f)
	}
	return s
}

// mask appends text with every form replaced, and returns how much of the text it
// has dealt with: all of it, unless more may come and the rest may be the beginning
// of a form.
func (s *formSet) mask(out, text []byte, e ending) ([]byte, int) {
	from := 0
	for i := 0; i < len(text); {
		forms := s.byFirst[text[i]]
		if len(forms) == 0 {
			i++
			continue
		}
		found, wait := match(forms, text[i:])
		if wait && e == more {
			return append(out, text[from:i]...), i
		}
		if found == 0 {
			i++
			continue
		}
		out = append(append(out, text[from:i]...), Placeholder...)
		i += found
		from = i
	}
	return append(out, text[from:]...), len(text)
}

// match finds the longest form that text begins with. wait tells that a longer one
// may come of it.
func match(forms [][]byte, text []byte) (length int, wait bool) {
	for _, f := range forms {
		if len(f) > len(text) {
			wait = wait || bytes.HasPrefix(f, text)
			continue
		}
		if bytes.HasPrefix(text, f) {
			return len(f), wait
		}
	}
	return 0, wait
}
