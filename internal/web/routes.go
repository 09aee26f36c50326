package web

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
	"github.com/stackreeve/stackreeve/reconciler/store"
	"github.com/stackreeve/stackreeve/schema"
)

// openAPI is the finished description, and the patterns of all routes.
type openAPI struct {
	json, yaml []byte
	routes     []string
}

// recorder is a mux that remembers its patterns.
type recorder struct {
	*http.ServeMux
	patterns []string
}

func (m *recorder) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.HandleFunc(pattern, h)
}

// routes registers everything that the server answers to.
func (s *Server) routes(reg *prometheus.Registry) openAPI {
	m := &recorder{ServeMux: s.mux}
	a := humago.New(m, s.apiConfig())
	problem := &huma.Response{Description: "What went wrong (RFC 9457); code is stable.", Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.Problem](), true, "")}}}
	r := registrar{Server: s, api: a, problem: problem}
	r.reading()
	r.jobs()
	r.acting()
	r.streams()

	// huma registers its own error model for every operation; none of our answers has that shape.
	schemas := a.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	out := openAPI{}
	var err error
	if out.json, err = json.MarshalIndent(a.OpenAPI(), "", "  "); err != nil {
		panic(fmt.Sprintf("web: describe the API: %v", err)) // only our own types get here
	}
	if out.yaml, err = a.OpenAPI().YAML(); err != nil {
		panic(fmt.Sprintf("web: describe the API: %v", err))
	}
	m.HandleFunc("GET "+api.Prefix+"/openapi.json", fixed("application/openapi+json", out.json))
	m.HandleFunc("GET "+api.Prefix+"/openapi.yaml", fixed("application/openapi+yaml", out.yaml))
	m.HandleFunc("GET /healthz", fixed("text/plain; charset=utf-8", []byte("ok\n")))
	m.HandleFunc("GET /readyz", s.readyz)
	m.HandleFunc("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: nil}).ServeHTTP)
	if s.webhook != nil {
		m.HandleFunc("POST "+WebhookPrefix+"{repository}", s.receive)
	}
	out.routes = m.patterns
	return out
}

// apiConfig turns off huma's own documents (they load assets from elsewhere) and its lazily made
// OpenAPI answer (two first requests at once would race).
func (s *Server) apiConfig() huma.Config {
	c := huma.DefaultConfig("Stackreeve", "v1")
	c.Info.Description = "What the daemon knows and can be told. Reading is free on the daemon's own machine; acting needs a token with the role write, or the daemon's unix socket."
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	c.RejectUnknownQueryParameters = true
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	c.Security = []map[string][]string{{"token": {}}, {}}
	c.Transformers = []huma.Transformer{func(_ huma.Context, _ string, v any) (any, error) {
		if e, ok := v.(*huma.ErrorModel); ok {
			return fromHuma(e), nil
		}
		return v, nil
	}}
	return c
}

// fixed answers with the same bytes every time.
func fixed(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body)
	}
}

// readyz tells why the daemon is not ready only to those who may read.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	err := s.ready(r.Context())
	if err != nil && callerOf(r.Context()).role == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("unready\n"))
		return
	}
	if err != nil {
		writeProblem(w, api.NewProblem(api.CodeNotReady, err.Error()))
		return
	}
	fixed("text/plain; charset=utf-8", []byte("ready\n"))(w, r)
}

// registrar is what registering a route needs.
type registrar struct {
	*Server
	api     huma.API
	problem *huma.Response
}

func (r registrar) operation(method, path, id, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: api.Prefix + path, Summary: summary,
		MaxBodyBytes: r.limits.Body, BodyReadTimeout: -1 /* readBody has read it */, Responses: map[string]*huma.Response{"default": r.problem}}
}

// get registers a reading route.
func get[I, O any](r registrar, path, id, summary string, h func(context.Context, *I) (*O, error)) {
	huma.Register(r.api, r.operation(http.MethodGet, path, id, summary), translated(r.Server, h))
}

// translated turns the backend's errors into problems.
func translated[I, O any](s *Server, h func(context.Context, *I) (*O, error)) func(context.Context, *I) (*O, error) {
	return func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return out, nil
	}
}

// list is a route's answer with many things.
type list[T any] struct{ Body api.List[T] }

func listOf[T any](items []T, err error) (*list[T], error) {
	if items == nil {
		items = []T{} // a client must not meet null where a list was promised
	}
	return &list[T]{Body: api.List[T]{Items: items}}, err
}

type one[T any] struct{ Body T }

func oneOf[T any](v T, err error) (*one[T], error) { return &one[T]{Body: v}, err }

// text is an answer that is not JSON, or that the backend rendered.
type text struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// FilterQuery narrows a list. It is exported because huma looks only into exported parts of a request.
type FilterQuery struct {
	Org  string `query:"org" maxLength:"200" doc:"Only this organization."`
	Env  string `query:"env" maxLength:"200" doc:"Only this environment."`
	Kind string `query:"kind" maxLength:"200" doc:"Only this kind; may be a glob."`
	Name string `query:"name" maxLength:"200" doc:"Only this name; may be a glob."`
}

func (f FilterQuery) filter() api.Filter {
	return api.Filter{Org: f.Org, Env: f.Env, Kind: f.Kind, Name: f.Name}
}

func (r registrar) reading() {
	get(r, "/version", "version", "Which daemon answers, and who asks", func(ctx context.Context, _ *struct{}) (*one[api.Version], error) {
		return oneOf(api.Version{Version: r.version, API: "v1", Identity: callerOf(ctx).actor}, nil)
	})
	get(r, "/resources", "listResources", "Cloud Resources with their status", func(ctx context.Context, in *FilterQuery) (*list[api.ResourceStatus], error) {
		return listOf(r.backend.Resources(ctx, in.filter()))
	})
	get(r, "/environments", "listEnvironments", "Environments with counts of their resources", func(ctx context.Context, in *FilterQuery) (*list[api.EnvironmentStatus], error) {
		return listOf(r.backend.Environments(ctx, in.filter()))
	})
	get(r, "/policies", "listPolicies", "Flow control policies", func(ctx context.Context, in *FilterQuery) (*list[api.PolicyStatus], error) {
		return listOf(r.backend.Policies(ctx, in.filter()))
	})
	get(r, "/repositories", "listRepositories", "Config repositories and how up to date they are", func(ctx context.Context, _ *struct{}) (*list[api.RepositoryStatus], error) {
		return listOf(r.backend.Repositories(ctx))
	})
	get(r, "/changes", "listChanges", "What the newest revision would change", func(ctx context.Context, in *FilterQuery) (*list[api.Change], error) {
		return listOf(r.backend.Changes(ctx, in.filter()))
	})
	get(r, "/pulls", "listPulls", "Pull requests and how they stand, newest number first", func(ctx context.Context, in *struct {
		Repository string `query:"repository" maxLength:"200" doc:"Only those of this config repository."`
		All        bool   `query:"all" doc:"Also those with which nothing more is done."`
		Limit      int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most so many."`
	},
	) (*list[api.PullStatus], error) {
		return listOf(r.backend.Pulls(ctx, api.PullFilter{Repository: in.Repository, All: in.All, Limit: in.Limit}))
	})
	get(r, "/turns", "listTurns", "Which pull requests hold stacks, or wait for them", func(ctx context.Context, in *FilterQuery) (*list[api.TurnStatus], error) {
		return listOf(r.backend.Turns(ctx, in.filter()))
	})
	get(r, "/resources/{org}/{env}/{kind}/{name}", "explainResource", "All that is known of one resource, and why", func(ctx context.Context, in *ResourcePath) (*one[api.Explanation], error) {
		return oneOf(r.backend.Explain(ctx, in.key()))
	})
	get(r, "/resources/{org}/{env}/{kind}/{name}/states", "listStates", "The state of a stack and its backups, and nothing that is in them", func(ctx context.Context, in *ResourcePath) (*one[api.States], error) {
		return oneOf(r.backend.States(ctx, in.key()))
	})
	get(r, "/resources/{org}/{env}/{kind}/{name}/engine", "chooseEngine", "Which program a job for a resource would get, and why", func(ctx context.Context, in *struct {
		Org  string `path:"org" maxLength:"200"`
		Env  string `path:"env" maxLength:"200"`
		Kind string `path:"kind" maxLength:"200"`
		Name string `path:"name" maxLength:"200"`
	},
	) (*one[api.EngineChoice], error) {
		return oneOf(r.backend.Engine(ctx, schema.ResourceKey{Org: in.Org, Env: in.Env, Kind: in.Kind, Name: in.Name}))
	})
	get(r, "/graph", "graph", "Who needs whom in an organization", r.graph)
	get(r, "/schema", "listSchemas", "JSON Schemas of all kinds, by kind", func(context.Context, *struct{}) (*one[map[string]json.RawMessage], error) {
		return oneOf(r.schemas, nil)
	})
	get(r, "/schema/{kind}", "schema", "The JSON Schema of one kind", func(_ context.Context, in *struct {
		Kind string `path:"kind" maxLength:"200"`
	},
	) (*text, error) {
		b, ok := r.schemas[in.Kind]
		if !ok {
			return nil, fmt.Errorf("schema of kind %s: %w; there are %v", shown(in.Kind), store.ErrNotFound, slices.Sorted(maps.Keys(r.schemas)))
		}
		return &text{ContentType: "application/schema+json", Body: b}, nil
	})
}

func (r registrar) graph(ctx context.Context, in *struct {
	Org    string `query:"org" maxLength:"200" doc:"The organization; all of them when it is left out."`
	Env    string `query:"env" maxLength:"200" doc:"Only the resources of this environment of the organization, and what they need or are needed by."`
	Format string `query:"format" enum:"json,mermaid,dot" default:"json" doc:"How it is rendered."`
},
) (*text, error) {
	if in.Env != "" && in.Org == "" {
		return nil, api.NewProblem(api.CodeInvalid, "an environment needs its organization")
	}
	g, err := r.backend.Graph(ctx, api.Filter{Org: in.Org, Env: in.Env}, in.Format)
	if err != nil {
		return nil, err
	}
	types := map[string]string{"json": "application/json", "mermaid": "text/vnd.mermaid; charset=utf-8", "dot": "text/vnd.graphviz; charset=utf-8"}
	return &text{ContentType: types[in.Format], Body: []byte(g)}, nil
}

func (r registrar) jobs() {
	get(r, "/jobs", "listJobs", "Stack Jobs, newest first", func(ctx context.Context, in *struct {
		FilterQuery
		State  []string `query:"state" doc:"Only jobs in these states, separated by commas." maxItems:"20"`
		Open   bool     `query:"open" doc:"Only jobs that have not ended."`
		Commit string   `query:"commit" maxLength:"200" doc:"Only jobs of this revision."`
		Before string   `query:"before" maxLength:"64" doc:"Only jobs older than this one: next of the page before."`
		Limit  int      `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most so many."`
	},
	) (*one[api.JobPage], error) {
		q := store.JobQuery{Org: in.Org, Env: in.Env, Kind: in.Kind, Name: in.Name, Open: in.Open, Commit: in.Commit,
			Before: stackjob.JobID(in.Before), Limit: in.Limit}
		for _, st := range in.State {
			state := stackjob.State(st)
			if !slices.Contains(stackjob.States(), state) {
				return nil, fmt.Errorf("%w: state %s: expected one of %v", api.ErrInvalid, shown(st), stackjob.States())
			}
			q.States = append(q.States, state)
		}
		jobs, err := r.backend.Jobs(ctx, q)
		page := api.JobPage{Items: jobs}
		if jobs == nil {
			page.Items = []stackjob.Job{}
		}
		if len(jobs) == in.Limit {
			page.Next = jobs[len(jobs)-1].ID
		}
		return oneOf(page, err)
	})
	get(r, "/jobs/{id}", "getJob", "One Stack Job with its plan", func(ctx context.Context, in *JobPath) (*one[stackjob.Job], error) {
		return oneOf(r.backend.Job(ctx, in.ID))
	})
}

// ResourcePath names a resource.
type ResourcePath struct {
	Org  string `path:"org" maxLength:"200"`
	Env  string `path:"env" maxLength:"200"`
	Kind string `path:"kind" maxLength:"200"`
	Name string `path:"name" maxLength:"200"`
}

func (p ResourcePath) key() schema.ResourceKey {
	return schema.ResourceKey{Org: p.Org, Env: p.Env, Kind: p.Kind, Name: p.Name}
}

// JobPath names a job.
type JobPath struct {
	ID stackjob.JobID `path:"id" maxLength:"64" doc:"The job's id."`
}
