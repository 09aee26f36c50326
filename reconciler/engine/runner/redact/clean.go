package redact

import (
	"unicode/utf8"
)

// cleaner takes control sequences, characters that are not seen and bytes that are no text
// out of a stream.
type cleaner struct {
	state cleanState
	// part is the beginning of a rune whose rest has not come.
	part []byte
	// cr tells that the last byte was a carriage return.
	cr bool
}

type cleanState int

const (
	ground     cleanState = iota
	escape                // after ESC
	sequence              // CSI: ESC [ … until a letter
	longText              // OSC, DCS and the like: until BEL or ESC \
	longEscape            // in such a text after ESC
)

// append appends what is text of p. A carriage return alone becomes a line's end:
// what it overwrote on a screen stays readable.
func (c *cleaner) append(out, p []byte) []byte {
	if len(c.part) > 0 {
		p = append(c.part, p...)
		c.part = nil
	}
	for len(p) > 0 {
		if p[0] < utf8.RuneSelf {
			out = c.control(out, p[0])
			p = p[1:]
			continue
		}
		if !utf8.FullRune(p) {
			c.part = append([]byte(nil), p...)
			return out
		}
		r, n := utf8.DecodeRune(p)
		out = c.rune(out, r)
		p = p[n:]
	}
	return out
}

// flush ends the stream.
func (c *cleaner) flush(out []byte) []byte {
	for range c.part {
		out = c.rune(out, utf8.RuneError)
	}
	c.part = nil
	if c.cr {
		out = append(out, '\n')
	}
	c.state, c.cr = ground, false
	return out
}

func (c *cleaner) rune(out []byte, r rune) []byte {
	switch {
	case c.state == sequence || c.state == escape:
		c.state = ground // not a sequence after all
	case c.state != ground:
		return out
	}
	switch {
	case r >= 0x80 && r <= 0x9f:
		return out // C1: control characters of eight bits
	case isUnseen(r):
		return out
	case r == 0x2028 || r == 0x2029:
		r = '\n' // line and paragraph separator
	}
	return utf8.AppendRune(c.endLine(out), r)
}

// isUnseen tells whether a character shows nothing of itself and changes what is shown
// around it: it turns the direction of text, so that a line reads as what it is not, or
// has no width, so that a word is not the one that it looks like.
func isUnseen(r rune) bool {
	switch {
	case r < 0x80:
		return false
	case r == 0xad, r == 0x61c, r == 0x180e, r == 0xfeff:
		return true // soft hyphen, Arabic and Mongolian marks, byte order mark
	case r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true // zero width, embeddings and overrides, isolates and invisible operators
	case r >= 0xfff9 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe0fff:
		return true // annotations, tags and their kin
	}
	return false
}

// endLine writes the line's end that a lone carriage return stands for.
func (c *cleaner) endLine(out []byte) []byte {
	if c.cr {
		c.cr = false
		return append(out, '\n')
	}
	return out
}

func (c *cleaner) control(out []byte, b byte) []byte {
	const esc, bel, del = 0x1b, 0x07, 0x7f
	if b == '\n' {
		// No sequence goes over a line's end: one that is never closed cannot
		// swallow the log.
		c.state, c.cr = ground, false
		return append(out, b)
	}
	switch c.state {
	case escape:
		c.state = ground
		switch {
		case b == '[':
			c.state = sequence
		case b == ']' || b == 'P' || b == 'X' || b == '^' || b == '_':
			c.state = longText
		case b >= 0x20 && b <= 0x2f:
			c.state = escape // intermediate bytes, as in ESC ( B
		}
		return out
	case sequence:
		if b >= 0x40 && b <= 0x7e {
			c.state = ground
		}
		return out
	case longText:
		switch b {
		case bel:
			c.state = ground
		case esc:
			c.state = longEscape
		}
		return out
	case longEscape:
		c.state = longText
		if b == '\\' {
			c.state = ground
		}
		return out
	}
	switch {
	case b == esc:
		c.state = escape
		return out
	case b == '\r':
		out = c.endLine(out)
		c.cr = true
		return out
	case b < 0x20 && b != '\t' || b == del:
		return out
	}
	return append(c.endLine(out), b)
}
