package hub

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed description/rest.json
var restJSON []byte

//go:embed description/webhooks.json
var webhooksJSON []byte

// schemas is a document with schemas in it, as JSON. It is not written to.
type schemas struct{ root map[string]any }

// events are the schemas of deliveries, as JSON and as the validator's.
type events struct {
	schemas
	compiled map[string]*jsonschema.Schema
}

// description is GitHub's of its API, as JSON and as the validator's.
type description struct {
	schemas
	doc *openapi3.T
	ops []operation
}

// operation is one that may be asked.
type operation struct {
	method, path string
	match        *regexp.Regexp
	raw          map[string]any
	route        *routers.Route
}

// describe reads the two documents, once for all worlds.
var describe = sync.OnceValues(func() (*description, *events) {
	must := func(err error) {
		if err != nil { // they are part of the program
			panic(err)
		}
	}
	d := &description{}
	must(json.Unmarshal(restJSON, &d.root))
	correct(d.root)
	text, err := json.Marshal(d.root)
	must(err)
	d.doc, err = openapi3.NewLoader().LoadFromData(text)
	must(err)
	for path, methods := range d.root["paths"].(map[string]any) {
		match := regexp.MustCompile("^" + regexp.MustCompile(`\\\{([a-z_]+)\\\}`).ReplaceAllString(regexp.QuoteMeta(path), "(?P<$1>[^/]+)") + "$")
		for method, raw := range methods.(map[string]any) {
			method = strings.ToUpper(method)
			item := d.doc.Paths.Find(path)
			d.ops = append(d.ops, operation{method, path, match, raw.(map[string]any), &routers.Route{
				Spec: d.doc, Path: path, PathItem: item, Method: method, Operation: item.GetOperation(method)}})
		}
	}
	// The literal ones first: issues/comments/1 before issues/{issue_number}/comments.
	slices.SortFunc(d.ops, func(a, b operation) int {
		if n := strings.Count(a.path, "{") - strings.Count(b.path, "{"); n != 0 {
			return n
		}
		return strings.Compare(a.method+a.path, b.method+b.path)
	})

	e := &events{compiled: map[string]*jsonschema.Schema{}}
	must(json.Unmarshal(webhooksJSON, &e.root))
	compiler := jsonschema.NewCompiler()
	// The library takes a template apart at its slashes, and {/name} is one of GitHub's.
	compiler.RegisterFormat(&jsonschema.Format{Name: "uri-template", Validate: func(any) error { return nil }})
	must(compiler.AddResource("webhooks.json", e.root))
	for name := range mapOf(e.root["definitions"]) {
		if strings.Contains(name, "$") {
			e.compiled[name], err = compiler.Compile("webhooks.json#/definitions/" + name)
			must(err)
		}
	}
	return d, e
})

// correct mends what the description is known to have wrong: the repository of a head is
// null when it was deleted (github/rest-api-description#1811).
func correct(root map[string]any) {
	for _, schema := range []string{"pull-request", "pull-request-simple"} {
		head := mapOf(at(root, "components", "schemas", schema, "properties", "head", "properties"))
		if mapOf(head["repo"])["$ref"] != "#/components/schemas/repository" {
			panic(schema + " is described in another way by now: look whether it still needs to be corrected")
		}
		head["repo"] = map[string]any{"$ref": "#/components/schemas/nullable-repository"}
	}
}

// find returns the operation of a request and the parameters in its path.
func (d *description) find(method, path string) (*operation, map[string]string) {
	for i, op := range d.ops {
		found := op.match.FindStringSubmatch(path)
		if op.method != method || found == nil {
			continue
		}
		params := map[string]string{}
		for j, name := range op.match.SubexpNames() {
			if name != "" {
				params[name] = found[j]
			}
		}
		return &d.ops[i], params
	}
	return nil, nil
}

// checkRequest says what is wrong with a request.
func (d *description) checkRequest(op *operation, r *http.Request, params map[string]string, body []byte) error {
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: op.route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
		return err
	}
	for name := range r.URL.Query() {
		if !slices.ContainsFunc(list(op.raw["parameters"]), func(p any) bool {
			parameter := d.resolve(p)
			return parameter["in"] == "query" && parameter["name"] == name
		}) {
			return fmt.Errorf("there is no parameter %q", name)
		}
	}
	schema := at(op.raw, "requestBody", "content", "application/json", "schema")
	if schema == nil {
		if len(body) > 0 {
			return fmt.Errorf("the operation takes no body")
		}
		return nil
	}
	if len(body) == 0 {
		return nil
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return err
	}
	if extra := d.unknown(schema, value, ""); extra != "" {
		return fmt.Errorf("there is no field %s in what it takes", extra)
	}
	return nil
}

// responseSchema is how an answer is described; nil when it is not.
func (d *description) responseSchema(op *operation, status int) map[string]any {
	response := d.resolve(at(op.raw, "responses", fmt.Sprint(status)))
	if response == nil {
		return nil
	}
	schema, _ := at(response, "content", "application/json", "schema").(map[string]any)
	return schema
}

// everywhere are the refusals that GitHub does not list with each operation.
var everywhere = []int{401, 403, 404, 422, 429, 500, 502, 503, 504}

// checkResponse says what is wrong with an answer.
func (d *description) checkResponse(op *operation, r *http.Request, params map[string]string, status int, header http.Header, body []byte) error {
	if op.route.Operation.Responses.Status(status) == nil {
		if !slices.Contains(everywhere, status) {
			return fmt.Errorf("HTTP %d is not described", status)
		}
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			return err
		}
		return d.doc.Components.Schemas["basic-error"].Value.VisitJSON(value)
	}
	return openapi3filter.ValidateResponse(context.WithoutCancel(r.Context()), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: op.route,
			QueryParams: url.Values{}, Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}},
		Status: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
}

// event brings a delivery into its published form and checks that.
func (e *events) event(name string, payload map[string]any) ([]byte, error) {
	compiled, ok := e.compiled[name]
	if !ok {
		return nil, errors.New("it is not described, or was cut off")
	}
	text, err := json.Marshal(e.conform(map[string]any{"$ref": "#/definitions/" + name}, payload))
	if err != nil {
		return nil, err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return text, compiled.Validate(value)
}
