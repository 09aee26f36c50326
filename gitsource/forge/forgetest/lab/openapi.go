package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// description is GitLab's OpenAPI (Swagger 2) description, as far as it is used.
type description struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name     string  `yaml:"name"`
			In       string  `yaml:"in"`
			Required bool    `yaml:"required"`
			Schema   *schema `yaml:"schema"`
		} `yaml:"parameters"`
		Responses map[string]struct {
			Schema *schema `yaml:"schema"`
		} `yaml:"responses"`
	} `yaml:"paths"`
	Definitions map[string]*schema `yaml:"definitions"`
}

type schema struct {
	Ref        string             `yaml:"$ref"`
	Type       string             `yaml:"type"`
	Required   []string           `yaml:"required"`
	Properties map[string]*schema `yaml:"properties"`
	Items      *schema            `yaml:"items"`
	Enum       []any              `yaml:"enum"`
}

func readDescription(file string) (*description, error) {
	data, err := os.ReadFile(file) //nolint:gosec // named by whoever runs the tests
	if err != nil {
		return nil, fmt.Errorf("read REEVE_GITLAB_OPENAPI: %w", err)
	}
	d, err := parseDescription(data)
	if err != nil {
		return nil, fmt.Errorf("read REEVE_GITLAB_OPENAPI: %w", err)
	}
	if len(d.Paths) < 100 || len(d.Definitions) < 100 {
		return nil, fmt.Errorf("REEVE_GITLAB_OPENAPI: %s is not GitLab's openapi_v2.yaml", file)
	}
	return d, nil
}

func parseDescription(data []byte) (*description, error) {
	d := &description{}
	return d, yaml.Unmarshal(data, d)
}

// undescribed are the operations that the description leaves out. That they are and stay
// left out is checked, so that nobody believes in a check that is none.
var undescribed = []string{"/user", "/users", "/users/:user", "/notes", "/notes/:note"}

// names of variables in the description where ours differ.
var described = strings.NewReplacer(":id", "{id}", ":iid", "{merge_request_iid}", ":note", "{note_id}", ":sha", "{sha}", ":hook", "{hook_id}", ":user", "{user_id}")

// exchange says what of an exchange the description does not allow.
func (d *description) exchange(op *operation, r *http.Request, asked []byte, status int, answer any) (wrong []string) {
	parts := strings.Split(op.path, "/")
	for i, p := range parts {
		parts[i] = described.Replace(p)
		if p == ":iid" {
			parts[i] = "{merge_request_iid}"
		}
	}
	o, ok := d.Paths["/api/v4"+strings.Join(parts, "/")][strings.ToLower(op.method)]
	left := slices.ContainsFunc(undescribed, func(s string) bool {
		return op.path == s || strings.HasPrefix(s, "/notes") && strings.HasSuffix(op.path, s)
	})
	if ok == left {
		return []string{fmt.Sprintf("the OpenAPI description has this operation: %v", ok)}
	}
	if left {
		return nil
	}
	query, body := map[string]bool{}, (*schema)(nil)
	for _, p := range o.Parameters {
		switch p.In {
		case "query":
			query[p.Name] = true
			if p.Required && !r.URL.Query().Has(p.Name) {
				wrong = append(wrong, "OpenAPI: the query has no "+p.Name)
			}
		case "body":
			body = p.Schema
		}
	}
	for name := range r.URL.Query() {
		if !query[name] {
			wrong = append(wrong, "OpenAPI: the query has "+name)
		}
	}
	if len(asked) > 0 && json.Valid(asked) {
		var v any
		if err := json.Unmarshal(asked, &v); err != nil {
			return append(wrong, err.Error())
		}
		if body == nil {
			wrong = append(wrong, "OpenAPI: it takes no body")
		} else {
			wrong = append(wrong, d.fits(v, body, "request")...)
		}
	}
	code := strconv.Itoa(status)
	resp, known := o.Responses[code]
	if !known && status == http.StatusCreated { // some creations are described as 200
		resp, known = o.Responses["200"]
	}
	if status >= 400 {
		return wrong // few errors are described
	}
	if !known {
		return append(wrong, "OpenAPI: it never answers "+code)
	}
	if resp.Schema != nil && answer != nil {
		for _, text := range d.fits(answer, resp.Schema, "answer") {
			if !op.partial || !strings.HasPrefix(text, "OpenAPI: answer has no ") {
				wrong = append(wrong, text)
			}
		}
	}
	return wrong
}

// fits says where a value is not what a schema says. The description has faults, which
// GitLab's documentation shows with examples: lists of objects described as one object,
// and types that are just "string". Both are let through.
func (d *description) fits(v any, s *schema, where string) []string {
	if s.Ref != "" {
		target := d.Definitions[s.Ref[strings.LastIndex(s.Ref, "/")+1:]]
		if target == nil {
			return []string{"OpenAPI: " + s.Ref + " is nowhere"}
		}
		return d.fits(v, target, where)
	}
	if list, ok := v.([]any); ok {
		item := s
		if s.Type == "array" {
			if item = s.Items; item == nil {
				return nil
			}
		}
		var wrong []string
		for i, x := range list {
			wrong = append(wrong, d.fits(x, item, fmt.Sprintf("%s[%d]", where, i))...)
		}
		return wrong
	}
	bad := []string{fmt.Sprintf("OpenAPI: %s is a %T and should be %s", where, v, s.Type)}
	switch v := v.(type) {
	case nil:
		return nil
	case map[string]any:
		if len(s.Properties) == 0 {
			return nil
		}
		var wrong []string
		for _, name := range s.Required {
			if _, has := v[name]; !has {
				wrong = append(wrong, fmt.Sprintf("OpenAPI: %s has no %s", where, name))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			p := s.Properties[name]
			if p == nil {
				wrong = append(wrong, fmt.Sprintf("OpenAPI: %s has %s", where, name))
				continue
			}
			wrong = append(wrong, d.fits(v[name], p, where+"."+name)...)
		}
		return wrong
	case bool:
		if s.Type != "boolean" && s.Type != "string" {
			return bad
		}
	case float64:
		if s.Type != "integer" && s.Type != "number" && s.Type != "string" {
			return bad
		}
	case string:
		if s.Type != "string" {
			return bad
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, any(v)) {
			return []string{fmt.Sprintf("OpenAPI: %s is %q and should be one of %v", where, v, s.Enum)}
		}
	}
	return nil
}
