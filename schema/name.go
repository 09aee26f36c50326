package schema

import "strings"

// snakeCase is the snake_case spelling of a camelCase name, as protobuf's JSON
// mapping reads it backwards: "cidrBlock" is "cidr_block", "vpcID" is "vpc_i_d".
// A name that is snake_case already stays.
func snakeCase(s string) string {
	if strings.IndexFunc(s, isUpper) < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 4)
	for i, r := range s {
		if isUpper(r) {
			if i > 0 && s[i-1] != '_' {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// camelCase is the camelCase spelling of a snake_case name.
func camelCase(s string) string {
	if !strings.Contains(s, "_") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	up := false
	for i, r := range s {
		switch {
		case r == '_' && i > 0:
			up = true
		case up && r >= 'a' && r <= 'z':
			b.WriteRune(r - ('a' - 'A'))
			up = false
		default:
			b.WriteRune(r)
			up = false
		}
	}
	return b.String()
}

// pascalCase is the PascalCase spelling of a snake_case kind: "aws_rds" is "AwsRds".
func pascalCase(s string) string {
	c := camelCase(s)
	if c == "" || c[0] < 'a' || c[0] > 'z' {
		return c
	}
	return string(c[0]-('a'-'A')) + c[1:]
}

func isUpper(r rune) bool { return r >= 'A' && r <= 'Z' }

// isSlug tells whether s is its own slug and not empty.
func isSlug(s string) bool { return s != "" && Slug(s) == s }
