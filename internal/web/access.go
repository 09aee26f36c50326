package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/stackreeve/stackreeve/internal/api"
	"github.com/stackreeve/stackreeve/internal/config"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

// entrance is where a request comes in.
type entrance struct {
	// socket is the unix socket; group says that its group's members may act too.
	socket bool
	group  bool
	// loopback is a TCP listener that only this machine reaches; host is the
	// address it is bound to.
	loopback bool
	host     string
}

func tcpEntrance(a net.Addr) entrance {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return entrance{}
	}
	return entrance{host: host, loopback: config.IsLoopback(host)}
}

// grants are the tokens by their hashes, so that comparing takes the same time whatever
// is sent, and no token is kept in clear.
type grants struct {
	tokens []grant
	hosts  []string
}

type grant struct {
	sum  [sha256.Size]byte
	name string
	role config.Role
}

func newGrants(a Access) *grants {
	g := &grants{}
	for _, t := range a.Tokens {
		g.tokens = append(g.tokens, grant{sum: sha256.Sum256([]byte(t.Secret.Reveal())), name: t.Name, role: t.Role})
	}
	for _, h := range a.AllowedHosts {
		g.hosts = append(g.hosts, strings.ToLower(h))
	}
	return g
}

// find compares with every token, so that time tells nothing about which one was near.
func (g *grants) find(token string) (grant, bool) {
	sum := sha256.Sum256([]byte(token))
	found := -1
	for i := range g.tokens {
		if subtle.ConstantTimeCompare(sum[:], g.tokens[i].sum[:]) == 1 {
			found = i
		}
	}
	if found < 0 || token == "" {
		return grant{}, false
	}
	return g.tokens[found], true
}

// caller is who a request comes from. The zero caller may read nothing; an anonymous reader has a role.
type caller struct {
	actor stackjob.Actor
	role  config.Role
}

type callerKey struct{}

// callerOf returns who makes the request.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// open are the routes that need no token wherever the listener is: they tell nothing but that the
// process lives, or take what proves by itself where it comes from.
func open(r *http.Request) bool { return r.URL.Path == "/healthz" && isRead(r) || isDelivery(r) }

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// probe is a question whether the daemon is ready. Without a token it gets a word in answer, for what
// asks it, an orchestrator's probe, carries none.
func probe(r *http.Request) bool { return r.URL.Path == "/readyz" && isRead(r) }

// admit decides who calls and whether the request may go on. It is a function of the request, the
// entrance and the tokens alone.
func (s *Server) admit(e entrance, r *http.Request) (caller, *api.Problem) {
	if open(r) {
		return caller{}, nil
	}
	c, p := s.identify(e, r)
	if p != nil && p.Code == api.CodeTokenMissing && probe(r) {
		return caller{}, nil
	}
	return c, p
}

// identify is admit for the routes that are not open to all.
func (s *Server) identify(e entrance, r *http.Request) (caller, *api.Problem) {
	if p := crossSite(r); p != nil {
		return caller{}, p
	}
	if e.socket {
		return s.admitPeer(e, r)
	}
	g := s.access.Load()
	local, p := checkHost(e, g, r)
	if p != nil {
		return caller{}, p
	}
	token, given := bearer(r)
	if !given {
		if local && isRead(r) {
			return caller{role: config.RoleRead}, nil
		}
		return caller{}, api.NewProblem(api.CodeTokenMissing, missingToken(len(g.tokens), isRead(r)))
	}
	found, ok := g.find(token)
	if !ok {
		return caller{}, api.NewProblem(api.CodeTokenUnknown, "the token is none of those in the configuration")
	}
	c := caller{actor: stackjob.Actor{Name: found.name, Via: "token"}, role: found.role}
	if !isRead(r) && found.role != config.RoleWrite {
		return caller{}, api.NewProblem(api.CodeReadOnlyToken, "the token "+found.name+" has the role read; acting needs the role write")
	}
	return c, nil
}

func missingToken(known int, read bool) string {
	s := "send it as Authorization: Bearer TOKEN"
	if known == 0 {
		s = "no token is configured; see tokens in reeve.yaml"
	}
	if !read {
		s += ", or use the unix socket on the daemon's own machine"
	}
	return s
}

// admitPeer trusts the kernel: root and the daemon's own user may act, others only
// when a group was given the socket.
func (s *Server) admitPeer(e entrance, r *http.Request) (caller, *api.Problem) {
	p, ok := r.Context().Value(peerKey{}).(peer)
	if !ok { // the zero peer would be root
		p.err = errors.New("the connection was not asked")
	}
	if p.err != nil {
		return caller{}, api.NewProblem(api.CodeForbidden, "who calls cannot be told: "+p.err.Error())
	}
	name := s.user(p.uid)
	if p.uid != 0 && int(p.uid) != os.Geteuid() && !e.group {
		return caller{}, api.NewProblem(api.CodeForbidden, "the user "+name+
			" is neither root nor the daemon's own user; set socketGroup to let a group's members in")
	}
	return caller{actor: stackjob.Actor{Name: name, Via: "socket"}, role: config.RoleWrite}, nil
}

// crossSite refuses what a browser sends for another site: with a loopback listener every page that a
// person opens could otherwise read or act.
func crossSite(r *http.Request) *api.Problem {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return api.NewProblem(api.CodeCrossSite, "Sec-Fetch-Site is "+shown(site))
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return api.NewProblem(api.CodeCrossSite, "Origin is not the host that was asked")
		}
	}
	return nil
}

// checkHost refuses foreign host names on a loopback listener (DNS rebinding), and tells whether the
// request is local: from this machine, for a loopback name, not through a proxy.
func checkHost(e entrance, g *grants, r *http.Request) (local bool, p *api.Problem) {
	host := strings.ToLower(hostOnly(r.Host))
	if e.loopback && config.IsLoopback(host) {
		return !proxied(r), nil
	}
	if slices.Contains(g.hosts, host) {
		return false, nil
	}
	if e.loopback || len(g.hosts) > 0 && !isAddress(host) {
		return false, api.NewProblem(api.CodeWrongHost, "add "+shown(host)+" to allowedHosts when the daemon should answer to it")
	}
	return false, nil
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// proxied tells whether somebody passed the request on: then loopback says nothing of who asks.
func proxied(r *http.Request) bool {
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return true
		}
	}
	return false
}

func hostOnly(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		return h
	}
	return strings.Trim(hostport, "[]")
}

// bearer reads the token; given is true for any Authorization header, so that a broken one is refused
// and not taken for none.
func bearer(r *http.Request) (token string, given bool) {
	h := r.Header.Get("Authorization")
	if h == "" {
		return "", false
	}
	scheme, token, _ := strings.Cut(h, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", true
	}
	return strings.TrimSpace(token), true
}

// shown makes text from outside safe and short for a message.
func shown(s string) string {
	if len(s) > 80 {
		s = s[:80]
	}
	return `"` + strings.Map(func(r rune) rune {
		if r < ' ' || r == '"' || r > '~' {
			return '?'
		}
		return r
	}, s) + `"`
}
