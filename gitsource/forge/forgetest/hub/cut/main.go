// Command cut takes from GitHub's published descriptions what the imitation of GitHub and
// the adapter's tests use, so that a megabyte is kept here and not fifty.
//
//	npm pack @octokit/openapi@23.0.2 @octokit/webhooks-schemas@7.6.1 @octokit/webhooks-examples@7.6.1
//	for f in octokit-*.tgz; do mkdir -p "${f%-*}" && tar xzf "$f" -C "${f%-*}" --strip-components=1; done
//	go run ./gitsource/forge/forgetest/hub/cut octokit-openapi octokit-webhooks-schemas octokit-webhooks-examples
//
// It is run by hand, in the root of the tree, when a newer description is wanted.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
)

// operations are what the adapter asks.
var operations = map[string][]string{
	"/app": {"get"},
	"/app/installations/{installation_id}/access_tokens":           {"post"},
	"/repos/{owner}/{repo}":                                        {"get"},
	"/repos/{owner}/{repo}/check-runs":                             {"post"},
	"/repos/{owner}/{repo}/check-runs/{check_run_id}":              {"patch"},
	"/repos/{owner}/{repo}/collaborators/{username}/permission":    {"get"},
	"/repos/{owner}/{repo}/commits/{ref}/check-runs":               {"get"},
	"/repos/{owner}/{repo}/hooks":                                  {"get", "post"},
	"/repos/{owner}/{repo}/hooks/{hook_id}":                        {"patch"},
	"/repos/{owner}/{repo}/installation":                           {"get"},
	"/repos/{owner}/{repo}/issues/comments/{comment_id}":           {"get", "patch"},
	"/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions": {"post"},
	"/repos/{owner}/{repo}/issues/{issue_number}/comments":         {"get", "post"},
	"/repos/{owner}/{repo}/pulls":                                  {"get"},
	"/repos/{owner}/{repo}/pulls/{pull_number}":                    {"get"},
	"/repos/{owner}/{repo}/pulls/{pull_number}/commits":            {"get"},
	"/repos/{owner}/{repo}/pulls/{pull_number}/reviews":            {"get"},
	"/repos/{owner}/{repo}/statuses/{sha}":                         {"post"},
	"/user":                                                        {"get"},
}

// deliveries are the events of webhooks that the adapter reads, and their actions; "" is
// an event without.
var deliveries = map[string][]string{
	"ping":                {""},
	"push":                {""},
	"pull_request":        {"opened", "edited", "synchronize", "closed", "reopened", "converted_to_draft", "ready_for_review"},
	"issue_comment":       {"created", "edited", "deleted"},
	"pull_request_review": {"submitted", "dismissed"},
}

const (
	descriptions = "gitsource/forge/forgetest/hub/description"
	examples     = "gitsource/forge/github/testdata/webhooks"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: cut OPENAPI-FOLDER WEBHOOK-SCHEMAS-FOLDER WEBHOOK-EXAMPLES-FOLDER")
	}
	write(filepath.Join(descriptions, "rest.json"), rest(read(filepath.Join(os.Args[1], "generated", "api.github.com.json"))))
	write(filepath.Join(descriptions, "webhooks.json"), webhooks(read(filepath.Join(os.Args[2], "schema.json"))))
	recorded(filepath.Join(os.Args[3], "api.github.com", "index.json"))
}

func read(path string) map[string]any {
	text, err := os.ReadFile(path) //nolint:gosec // the caller says which
	if err != nil {
		log.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		log.Fatalf("%s: %v", path, err)
	}
	return out
}

func write(path string, value any) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(value); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil { //nolint:gosec // a file of the tree
		log.Fatal(err)
	}
	fmt.Printf("%s: %d kB\n", path, text.Len()>>10)
}

// rest keeps the operations and what they refer to.
func rest(all map[string]any) map[string]any {
	paths := map[string]any{}
	for path, methods := range operations {
		kept := map[string]any{}
		for _, method := range methods {
			operation, ok := at(all, "paths", path, method).(map[string]any)
			if !ok {
				log.Fatalf("%s %s is not described", method, path)
			}
			kept[method] = operation
		}
		paths[path] = kept
	}
	out := map[string]any{"openapi": all["openapi"], "info": all["info"], "paths": bare(paths)}
	pull(all, out, out)
	return out
}

// webhooks keeps the schemas of the deliveries and what they refer to.
func webhooks(all map[string]any) map[string]any {
	out := map[string]any{"$schema": all["$schema"], "definitions": map[string]any{}}
	for event, actions := range deliveries {
		for _, action := range actions {
			name := event + "$" + action
			if action == "" {
				name = event + "$event"
			}
			schema, ok := at(all, "definitions", name).(map[string]any)
			if !ok {
				log.Fatalf("%s is not described", name)
			}
			out["definitions"].(map[string]any)[name] = bare(schema)
		}
	}
	pull(all, out, out)
	return out
}

// pull brings along what value refers to, and what that refers to.
func pull(all, out map[string]any, value any) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			pull(all, out, item)
		}
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			keys := strings.Split(strings.TrimPrefix(ref, "#/"), "/")
			if at(out, keys...) != nil {
				return
			}
			found := bare(at(all, keys...))
			into := out
			for _, key := range keys[:len(keys)-1] {
				if into[key] == nil {
					into[key] = map[string]any{}
				}
				into = into[key].(map[string]any)
			}
			into[keys[len(keys)-1]] = found
			pull(all, out, found)
		}
		for _, item := range v {
			pull(all, out, item)
		}
	}
}

func at(value any, keys ...string) any {
	for _, key := range keys {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[key]
	}
	return value
}

// bare leaves out what is there for people to read.
func bare(value any) any {
	switch v := value.(type) {
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = bare(item)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		_, isResponse := v["content"]
		for key, item := range v {
			_, isText := item.(string)
			switch {
			case key == "description" && isText && (isResponse || len(v) == 1):
				out[key] = "-" // a response must have one
			case key == "description" && isText, key == "title" && isText, key == "example", key == "examples", key == "externalDocs",
				key == "summary" && isText, key == "tags" && v["operationId"] != nil, key == "tsAdditionalProperties",
				strings.HasPrefix(key, "x-"):
			default:
				out[key] = bare(item)
			}
		}
		return out
	}
	return value
}

// recorded writes one payload of each event and action, and of pushes and comments all.
func recorded(path string) {
	text, err := os.ReadFile(path) //nolint:gosec // the caller says which
	if err != nil {
		log.Fatal(err)
	}
	var events []struct {
		Name     string            `json:"name"`
		Examples []json.RawMessage `json:"examples"`
	}
	if err := json.Unmarshal(text, &events); err != nil {
		log.Fatal(err)
	}
	for _, event := range events {
		if deliveries[event.Name] == nil {
			continue
		}
		count := map[string]int{}
		for _, example := range event.Examples {
			var about struct {
				Action string `json:"action"`
			}
			if err := json.Unmarshal(example, &about); err != nil {
				log.Fatal(err)
			}
			count[about.Action]++
			n := count[about.Action]
			if n > 1 && event.Name == "pull_request" {
				continue
			}
			name := event.Name
			if about.Action != "" {
				name += "." + about.Action
			}
			if n > 1 {
				name += fmt.Sprintf(".%d", n)
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, example); err != nil {
				log.Fatal(err)
			}
			compact.WriteByte('\n')
			if err := os.WriteFile(filepath.Join(examples, name+".json"), compact.Bytes(), 0o644); err != nil { //nolint:gosec // a file of the tree
				log.Fatal(err)
			}
		}
	}
}
