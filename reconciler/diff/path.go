package diff

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// step is one step into a value: a name, or a number for a list.
type step struct {
	name  string
	index bool // it was written in brackets
}

func formatPath(steps []step) string {
	var b strings.Builder
	for i, s := range steps {
		switch {
		case s.index && isNumber(s.name):
			b.WriteString("[" + s.name + "]")
		case s.index || s.name == "" || strings.ContainsAny(s.name, `.[]"`):
			b.WriteString("[" + strconv.Quote(s.name) + "]")
		default:
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.name)
		}
	}
	return b.String()
}

func isNumber(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// parsePath reads "a.b[0]", "a.0", `a["b.c"]`. Its first step is a name.
func parsePath(path string) ([]step, error) {
	bad := func(why string) ([]step, error) { return nil, fmt.Errorf("the path %q %s", path, why) }
	var steps []step
	rest := path
	for rest != "" {
		if rest[0] == '[' {
			inner, after, err := bracket(rest[1:])
			if err != nil {
				return bad(err.Error())
			}
			steps, rest = append(steps, step{inner, true}), after
			if rest != "" && rest[0] != '.' && rest[0] != '[' {
				return bad("has something between ] and what follows")
			}
			if rest != "" && rest[0] == '.' {
				if rest = rest[1:]; rest == "" {
					return bad("ends in the middle")
				}
			}
			continue
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return bad("has an empty name")
		}
		steps = append(steps, step{name: rest[:end]})
		rest = rest[end:]
		if rest != "" && rest[0] == '.' {
			if rest = rest[1:]; rest == "" || rest[0] == '.' || rest[0] == '[' {
				return bad("has an empty name")
			}
		}
	}
	if len(steps) == 0 {
		return bad("is empty")
	}
	return steps, nil
}

// bracket reads what follows a "[" up to its "]".
func bracket(s string) (inner, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		quoted, err := strconv.QuotedPrefix(s)
		if err != nil {
			return "", "", errors.New("has a quote that does not end")
		}
		inner, err = strconv.Unquote(quoted)
		if err != nil || !strings.HasPrefix(s[len(quoted):], "]") {
			return "", "", errors.New("has a [ that does not end")
		}
		return inner, s[len(quoted)+1:], nil
	}
	inner, rest, ok := strings.Cut(s, "]")
	if !ok {
		return "", "", errors.New("has a [ that does not end")
	}
	if !isNumber(inner) {
		return "", "", errors.New("has something other than a number in [ ]")
	}
	return inner, rest, nil
}

// match finds name among the keys: as written, then in snake_case, then as the only
// key that is the same in snake_case.
func match[V any](m map[string]V, name string) (string, bool) {
	if _, ok := m[name]; ok {
		return name, true
	}
	snake := snakeCase(name)
	if _, ok := m[snake]; ok {
		return snake, true
	}
	found := ""
	for k := range m {
		if snakeCase(k) != snake {
			continue
		}
		if found != "" {
			return "", false
		}
		found = k
	}
	return found, found != ""
}

// snakeCase is the snake_case spelling of a camelCase name, as protobuf's JSON
// mapping reads it backwards.
func snakeCase(s string) string {
	var b strings.Builder
	for i := range len(s) {
		ch := s[i]
		if ch >= 'A' && ch <= 'Z' {
			if i > 0 && s[i-1] != '_' {
				b.WriteByte('_')
			}
			ch += 'a' - 'A'
		}
		b.WriteByte(ch)
	}
	return b.String()
}
