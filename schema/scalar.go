package schema

import (
	"math/big"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// resolveScalar gives a YAML scalar its type by the core schema of YAML 1.2, from
// its text alone: the library's own resolver keeps some of YAML 1.1 (1_000, 0b1,
// dates) and drops the digits of big numbers. The third result names a tag that
// cannot be used.
func resolveScalar(n *yaml.Node) (valueKind, string, string) {
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if n.Style&yaml.TaggedStyle == 0 && n.Tag != "!" {
		if quoted {
			return stringValue, n.Value, ""
		}
		k, text := plainScalar(n.Value)
		return k, text, ""
	}
	k, text := plainScalar(n.Value)
	switch {
	case n.Tag == "!!str" || n.Tag == "!":
		return stringValue, n.Value, ""
	case n.Tag == "!!int" && k == numberValue && !strings.ContainsAny(text, ".eE"),
		n.Tag == "!!float" && k == numberValue,
		n.Tag == "!!bool" && k == boolValue,
		n.Tag == "!!null" && k == nullValue:
		return k, text, ""
	}
	return stringValue, n.Value, n.Tag
}

// plainScalar types an unquoted scalar; numbers come back as JSON writes them.
func plainScalar(s string) (valueKind, string) {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return nullValue, ""
	case "true", "True", "TRUE":
		return boolValue, "true"
	case "false", "False", "FALSE":
		return boolValue, "false"
	}
	if c := s[0]; c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' {
		if n, ok := jsonNumber(s); ok {
			return numberValue, n
		}
	}
	return stringValue, s
}

// isNotANumber tells whether s is one of YAML's floats that JSON cannot write.
func isNotANumber(s string) bool {
	switch strings.TrimLeft(s, "+-") {
	case ".inf", ".Inf", ".INF":
		return true
	}
	return s == ".nan" || s == ".NaN" || s == ".NAN"
}

// maxExponent is beyond what a float64 holds. Exact arithmetic, as a validator does it,
// would take a second for each number with an exponent of a million.
const maxExponent = 400

// hugeExponent tells whether a number in JSON's spelling is out of any proportion.
func hugeExponent(s string) bool {
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return false
	}
	n, err := strconv.Atoi(s[i+1:])
	return err != nil || n > maxExponent || n < -maxExponent
}

// looksOctal tells whether s would be an octal number to YAML 1.1 and a decimal one
// to YAML 1.2, which is hardly what its author meant.
func looksOctal(s string) bool {
	s = strings.TrimLeft(s, "+-")
	return len(s) > 1 && s[0] == '0' && strings.Trim(s, "01234567") == ""
}

// jsonNumber rewrites a number of the core schema as JSON, digit for digit where
// JSON allows it.
func jsonNumber(s string) (string, bool) {
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'o') {
		digits, base := "01234567", 8
		if s[1] == 'x' {
			digits, base = "0123456789abcdefABCDEF", 16
		}
		// The limit keeps a megabyte of digits from costing seconds.
		if len(s) > 1024 || strings.Trim(s[2:], digits) != "" {
			return "", false
		}
		n, ok := new(big.Int).SetString(s[2:], base)
		if !ok {
			return "", false
		}
		return n.String(), true
	}
	sign, rest := "", s
	switch s[0] {
	case '-':
		sign, rest = "-", s[1:]
	case '+':
		rest = s[1:]
	}
	whole := leadingDigits(rest)
	rest = rest[len(whole):]
	fraction := ""
	if strings.HasPrefix(rest, ".") {
		fraction = leadingDigits(rest[1:])
		rest = rest[1+len(fraction):]
		if whole == "" && fraction == "" {
			return "", false
		}
		if fraction == "" {
			fraction = "0"
		}
	}
	if whole == "" && fraction == "" {
		return "", false
	}
	exponent := ""
	if rest != "" {
		if rest[0] != 'e' && rest[0] != 'E' {
			return "", false
		}
		e := rest[1:]
		if e != "" && (e[0] == '+' || e[0] == '-') {
			e = e[1:]
		}
		if e == "" || leadingDigits(e) != e {
			return "", false
		}
		exponent = rest
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction + exponent, true
}

func leadingDigits(s string) string {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return s[:n]
}
