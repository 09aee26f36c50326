package schema

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// StatePlace is the place that a backend names for the state of a stack, in words that
// are the same for every way to write it; "" when nobody but the stack itself has it
// (the local backend, a database schema that is made for it) or when the settings do
// not tell it (the module's own backend).
//
// What is not written down comes from the environment of jobs, and is the same for all.
// How a place is reached, such as a region or a proxy, is no part of it.
func (b Backend) StatePlace() string {
	set := func(name string) string { return b.Config[name] }
	switch b.Type {
	case "s3":
		endpoint := cmp.Or(set("endpoint"), set("endpoints"))
		if set("bucket") == "" || set("key") == "" {
			return ""
		}
		return joinPlace("s3", sameURL(endpoint), "bucket "+set("bucket"), "key "+strings.TrimPrefix(set("key"), "/"))
	case "gcs":
		if set("bucket") == "" {
			return ""
		}
		return joinPlace("gcs", sameURL(set("storage_custom_endpoint")), "bucket "+set("bucket"), "prefix "+fmt.Sprintf("%q", strings.Trim(set("prefix"), "/")))
	case "azurerm":
		if set("container_name") == "" || set("key") == "" {
			return ""
		}
		return joinPlace("azurerm", set("storage_account_name"), "container "+set("container_name"), "key "+set("key"))
	case "http":
		if set("address") == "" {
			return ""
		}
		return joinPlace("http", sameURL(set("address")))
	case "pg":
		if set("schema_name") == "" {
			return ""
		}
		return joinPlace("pg", sameURL(set("conn_str")), "schema "+set("schema_name"))
	}
	return ""
}

// placeParameters are the parameters of a Pulumi backend's URL that lead to another place.
var placeParameters = map[string][]string{"s3": {"endpoint"}, "azblob": {"domain", "storage_account"}, "postgres": {"table"}}

// StatePlace is the place that the settings name for the state of a stack, in words that
// are the same for every way to write it; "" without a backend's URL, when nobody but
// the stack itself has it. Where they name no project, the program's module stands for
// it: the same program always has the same one.
func (p *PulumiSettings) StatePlace(module ModuleSource) string {
	u, err := url.Parse(p.BackendURL)
	if p.BackendURL == "" || err != nil {
		return ""
	}
	where := sameURL((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/" + strings.Trim(path.Clean("/"+u.Path), "/")}).String())
	parts := []string{"pulumi", where}
	for _, name := range placeParameters[u.Scheme] {
		v := u.Query().Get(name)
		if name == "endpoint" {
			v = sameURL(v)
		}
		if v != "" && (name != "table" || v != "pulumi_state") {
			parts = append(parts, name+" "+v)
		}
	}
	project := p.Project
	if project == "" {
		project = "the project of " + module.URL + "//" + module.Path
	}
	return joinPlace(append(parts, "stack "+p.Organization+"/"+project+"/"+p.Stack)...)
}

// PulumiSettings are the settings of a resource with its project, where that is known:
// the one that the settings name, or else the name in the Pulumi.yaml of a program of
// this repository. Nil for what Pulumi does not run.
func (t *Tree) PulumiSettings(r *Resource) *PulumiSettings { return pulumiSettingsIn(t.files, r) }

func pulumiSettingsIn(files map[string]*entry, r *Resource) *PulumiSettings {
	if r.Pulumi == nil || r.Pulumi.Project != "" || !r.Module.IsLocal() {
		return r.Pulumi
	}
	p := projectIn(files, path.Clean(r.Module.Path))
	if p == nil || p.name == "" {
		return r.Pulumi
	}
	out := *r.Pulumi
	out.Project = p.name
	return &out
}

// PulumiRuntime is the runtime in the Pulumi.yaml of a resource's program: "yaml", "nodejs".
// "" when the program is no folder of this repository, or is none of Pulumi's.
func (t *Tree) PulumiRuntime(r *Resource) string {
	if r.Pulumi == nil || !r.Module.IsLocal() {
		return ""
	}
	p := projectIn(t.files, path.Clean(r.Module.Path))
	if p == nil {
		return ""
	}
	return p.runtime
}

// statePlace is the place of a resource's state, as far as its documents tell it.
func (a *assembly) statePlace(r *Resource) string {
	if p := pulumiSettingsIn(a.state.entries, r); p != nil {
		return p.StatePlace(r.Module)
	}
	return r.Backend.StatePlace()
}

func joinPlace(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, " ")
}

// sameURL is a URL as every way to write it, without whoever logs in; other text stays.
func sameURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return text
	}
	u.User = nil
	u.Scheme = strings.ToLower(u.Scheme)
	u.Host = strings.ToLower(u.Host)
	if standard := map[string]string{"http": ":80", "https": ":443", "postgres": ":5432", "postgresql": ":5432"}[u.Scheme]; standard != "" {
		u.Host = strings.TrimSuffix(u.Host, standard)
	}
	if u.Scheme == "postgresql" {
		u.Scheme = "postgres"
	}
	u.Fragment = ""
	return u.String()
}

// shownPlace is a place as it is shown: an address may hold what is nobody's business.
func shownPlace(b Backend, where string) string {
	switch b.Type {
	case "http":
		return "the same address"
	case "pg":
		return "the schema " + b.Config["schema_name"] + " of the same database"
	}
	return where
}

// statePlaces reports stacks that name the same place for their states: each would take
// what the other made for its own, and destroy it.
func (a *assembly) statePlaces() {
	first := map[string]*Resource{}
	for _, r := range a.out.resources {
		where := a.statePlace(r)
		if where == "" {
			continue
		}
		other, taken := first[where]
		if !taken {
			first[where] = r
			continue
		}
		d := a.declared[r.Key].at
		d.Code = diag.StateShared
		d.Detail = fmt.Sprintf("%s and %s", other.Key, r.Key)
		d.Found = shownPlace(r.Backend, where)
		d.Expected = "a place of its own for each stack"
		d.Hint = "name another place in one of the two, or take one of the two documents away"
		if r.Pulumi != nil {
			d.Found = fmt.Sprintf("the stack %s of the same project at the same backend", r.Pulumi.Stack)
			d.Hint = "give one of the two another name or backend, or take one of the two documents away"
		}
		d.Related = []diag.Related{{Pos: a.declared[other.Key].at.Pos, Message: "the other stack"}}
		a.findings = append(a.findings, finding{Diagnostic: d, freezes: []scope{{r.Key.Org, r.Key.Env}, {other.Key.Org, other.Key.Env}}})
	}
}
