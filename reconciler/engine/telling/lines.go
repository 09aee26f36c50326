package telling

import "bytes"

// Lines cuts a stream into lines.
type Lines struct {
	// Line gets each, without its end; it must not keep the bytes.
	Line func([]byte)

	rest []byte
}

// Hear takes the next bytes of the stream.
func (l *Lines) Hear(p []byte) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return
		}
		l.Line(bytes.TrimRight(l.rest[:i], "\r"))
		l.rest = l.rest[i+1:]
	}
}

// Flush is the end of the stream: what came last may have no line end.
func (l *Lines) Flush() {
	if len(l.rest) > 0 {
		l.Line(l.rest)
		l.rest = nil
	}
}

// Writer is a function that writes.
type Writer func([]byte)

// Write calls it.
func (f Writer) Write(p []byte) (int, error) { f(p); return len(p), nil }
