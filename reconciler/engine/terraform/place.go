package terraform

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/stackreeve/stackreeve/reconciler/engine/facts"
	"github.com/stackreeve/stackreeve/schema"
)

// statePlace tells two places of a state apart without telling where they are: a plan is
// for the state that it was made of, and an approval too. "" is the stack's own file in
// the data folder, wherever that folder is. It holds after init.
//
// How a place is reached has no part in it: no login, password, region or proxy. An
// approval outlives a password that was changed.
func (p *phase) statePlace() (string, error) {
	b := schema.Backend{Type: p.backendNow().Type, Config: p.backendNow().Config}
	switch b.Type {
	case backendLocal:
		return "", nil
	case backendModule:
		own, err := p.moduleBackend()
		if err != nil {
			return "", err
		}
		b = own
	}
	return b.Type + " " + facts.KeyedHash(p.task.HashKey, []byte(placeOf(b, p.task.Env))), nil
}

// placeOf is the place that settings and environment name, in the same words for every
// way to write it.
func placeOf(b schema.Backend, env map[string]string) string {
	set := maps.Clone(b.Config)
	if set == nil {
		set = map[string]string{}
	}
	// In the order in which the engines look; where none is set, nothing is.
	for name, from := range placeVariables[b.Type] {
		for _, v := range from {
			set[name] = cmp.Or(set[name], env[v])
		}
	}
	if b.Type == backendPG {
		return fmt.Sprintf("%q", []string{backendPG, pgDatabase(set["conn_str"], env), cmp.Or(set["schema_name"], "terraform_remote_state")})
	}
	if where := (schema.Backend{Type: b.Type, Config: set}).StatePlace(); where != "" {
		return where
	}
	maps.DeleteFunc(set, func(_, v string) bool { return v == "" })
	return b.Type + " " + string(facts.Canonical(set))
}

// placeVariables are the environment variables that name a place where the settings do
// not, by backend and setting.
var placeVariables = map[string]map[string][]string{
	"s3":         {"endpoint": {"AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT", "AWS_ENDPOINT_URL"}},
	"gcs":        {"storage_custom_endpoint": {"GOOGLE_BACKEND_STORAGE_CUSTOM_ENDPOINT", "GOOGLE_STORAGE_CUSTOM_ENDPOINT"}},
	"http":       {"address": {"TF_HTTP_ADDRESS"}},
	"cloud":      {"hostname": {"TF_CLOUD_HOSTNAME"}, "organization": {"TF_CLOUD_ORGANIZATION"}, "project": {"TF_CLOUD_PROJECT"}},
	"consul":     {"address": {"CONSUL_HTTP_ADDR"}},
	backendPG:    {"conn_str": {"PG_CONN_STR"}, "schema_name": {"PG_SCHEMA_NAME"}},
	"azurerm":    {"environment": {"ARM_ENVIRONMENT"}},
	"kubernetes": {"config_path": {"KUBE_CONFIG_PATH"}, "config_context": {"KUBE_CTX"}, "host": {"KUBE_HOST"}, "namespace": {"KUBE_NAMESPACE"}},
}

var dsnWord = regexp.MustCompile(`(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S+)`)

// pgDatabase is the server and the database of a connection string, which is a URL or
// words: not the user nor the password, unless the database is called like the user.
func pgDatabase(conn string, env map[string]string) string {
	set := map[string]string{}
	if u, err := url.Parse(conn); err == nil && u.Host+u.Path != "" && u.Scheme != "" {
		set["host"], set["port"], set["dbname"], set["user"] = u.Hostname(), u.Port(), strings.TrimPrefix(u.Path, "/"), u.User.Username()
		if strings.Contains(u.Host, ",") { // several servers, each with its port
			set["host"], set["port"] = u.Host, ""
		}
		for k, v := range u.Query() {
			if v[0] != "" {
				set[k] = v[0]
			}
		}
	} else {
		for _, m := range dsnWord.FindAllStringSubmatch(conn, -1) {
			set[m[1]] = strings.Trim(m[2], "'")
		}
	}
	user := cmp.Or(set["user"], env["PGUSER"])
	return fmt.Sprintf("%q", []string{
		strings.ToLower(cmp.Or(set["host"], set["hostaddr"], env["PGHOST"], env["PGHOSTADDR"])),
		cmp.Or(set["port"], env["PGPORT"], "5432"),
		cmp.Or(set["dbname"], set["database"], env["PGDATABASE"], user),
	})
}

// moduleBackend is the backend that the module's own code names, as the last init wrote
// it down.
func (p *phase) moduleBackend() (schema.Backend, error) {
	name := filepath.Join(p.at.data, "terraform.tfstate")
	b, err := readIfThere(name)
	if err != nil {
		return schema.Backend{}, err
	}
	var in struct {
		Backend *struct {
			Type   string                     `json:"type"`
			Config map[string]json.RawMessage `json:"config"`
		} `json:"backend"`
	}
	if b != nil {
		if err := json.Unmarshal(b, &in); err != nil {
			return schema.Backend{}, fmt.Errorf("read %s: %w", name, err)
		}
	}
	if in.Backend == nil { // the module names none: a file beside its code
		return schema.Backend{Type: backendModule}, nil
	}
	out := schema.Backend{Type: in.Backend.Type, Config: map[string]string{}}
	for k, v := range in.Backend.Config {
		if s := string(v); s != "null" {
			var text string
			if json.Unmarshal(v, &text) == nil {
				s = text
			}
			out.Config[k] = s
		}
	}
	return out, nil
}
