package github

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-github/v60/github"

	"github.com/stackreeve/stackreeve/gitsource/forge"
)

// AppOptions say which App, and where.
type AppOptions struct {
	// ID is the App's id or its client id.
	ID string
	// PrivateKey is the PEM that GitHub gave out for it.
	PrivateKey []byte
	// Installation is the one whose repositories are used; 0 asks GitHub for that of
	// each repository.
	Installation int64
	// APIURL and HTTPClient are as in [Options].
	APIURL     string
	HTTPClient *http.Client
	// Now is the clock; nil is the real one.
	Now func() time.Time
}

// App is a GitHub App: it signs with its key, and gets from GitHub the tokens of its
// installations, which live an hour and are renewed before they end. It is safe for
// concurrent use and may be shared by repositories.
type App struct {
	id  string
	key *rsa.PrivateKey
	api *api
	now func() time.Time

	mu           sync.Mutex // guards what follows, and lets one at a time ask GitHub
	assertion    string     // a JWT, reused for some minutes
	assertionEnd time.Time
	installed    map[string]int64 // by repository, in lower case; "" is for all
	tokens       map[int64]installationToken
}

type installationToken struct {
	value string
	ends  time.Time
}

const (
	// assertionLife is a JWT's; GitHub takes ten minutes at most, by its own clock.
	assertionLife = 9 * time.Minute
	// skew is how far GitHub's clock may be behind ours.
	skew = time.Minute
	// early is how long before its end a token is no longer used: as long as a request
	// with all its pauses may take.
	early = 5 * time.Minute
)

// NewApp reads the key. It asks GitHub nothing.
func NewApp(opts AppOptions) (*App, error) {
	if opts.ID == "" {
		return nil, errors.New("a GitHub App needs its id")
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM(opts.PrivateKey)
	if err != nil { // the library's words never quote the key, but neither do they help
		return nil, errors.New("the private key of the GitHub App is not an RSA key in PEM form: use the .pem file that GitHub gave out")
	}
	a := &App{id: opts.ID, key: key, now: opts.Now, installed: map[string]int64{}, tokens: map[int64]installationToken{}}
	if a.now == nil {
		a.now = time.Now
	}
	if opts.Installation != 0 {
		a.installed[""] = opts.Installation
	}
	a.api, err = newAPI(opts.APIURL, opts.HTTPClient, credential{token: func(context.Context) (string, error) { return a.assert() }})
	return a, err
}

// assert is the JWT that says "I am the App". The caller holds the lock.
func (a *App) assert() (string, error) {
	now := a.now()
	if a.assertion != "" && now.Add(skew).Before(a.assertionEnd) {
		return a.assertion, nil
	}
	end := now.Add(assertionLife)
	token, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer: a.id, IssuedAt: jwt.NewNumericDate(now.Add(-skew)), ExpiresAt: jwt.NewNumericDate(end),
	}).SignedString(a.key)
	if err != nil {
		return "", fmt.Errorf("sign as the GitHub App: %w", err)
	}
	a.assertion, a.assertionEnd = token, end
	return token, nil
}

// Token is an installation's token for a repository ("owner/name"), for the API and, as
// the password of "x-access-token", for Git.
func (a *App) Token(ctx context.Context, repository string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	installation, err := a.installation(ctx, repository)
	if err != nil {
		return "", err
	}
	if t, ok := a.tokens[installation]; ok && a.now().Add(early).Before(t.ends) {
		return t.value, nil
	}
	// Empty options and not none: of those the library makes the body "null".
	t, resp, err := a.api.client().Apps.CreateInstallationToken(ctx, installation, &github.InstallationTokenOptions{})
	if err != nil {
		// The installation may be another one by now.
		delete(a.installed, strings.ToLower(repository))
		delete(a.tokens, installation)
		return "", failure("get a token of the GitHub App's installation", resp, err)
	}
	a.tokens[installation] = installationToken{value: t.GetToken(), ends: t.GetExpiresAt().Time}
	return t.GetToken(), nil
}

func (a *App) installation(ctx context.Context, repository string) (int64, error) {
	for _, name := range []string{"", strings.ToLower(repository)} {
		if id, ok := a.installed[name]; ok {
			return id, nil
		}
	}
	owner, name, _ := strings.Cut(repository, "/")
	if !isPart(owner) || !isPart(name) {
		return 0, fmt.Errorf("%q is not a repository's name on GitHub: write owner/name", repository)
	}
	found, resp, err := a.api.client().Apps.FindRepositoryInstallation(ctx, owner, name)
	if err != nil {
		return 0, failure("find the GitHub App's installation for "+repository, resp, err)
	}
	a.installed[strings.ToLower(repository)] = found.GetID()
	return found.GetID(), nil
}

// refused forgets a token that GitHub did not take: it was revoked.
func (a *App) refused(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for installation, t := range a.tokens {
		if t.value == token {
			delete(a.tokens, installation)
		}
	}
}

// self is the App's bot.
func (a *App) self(ctx context.Context) (forge.User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	app, resp, err := a.api.client().Apps.Get(ctx, "")
	if err != nil {
		return forge.User{}, failure("ask GitHub for the App's name", resp, err)
	}
	return forge.User{Login: app.GetSlug() + "[bot]", Bot: true}, nil
}

// LongTextBytes is what a check run's two texts take, less the line that is not parted
// between them.
func (r *Repository) LongTextBytes() int { return 2*checkBytes - 10_000 }

// LongText shows Markdown as a finished check run, which GitHub lets Apps alone make.
func (r *Repository) LongText(ctx context.Context, commit, name, markdown string) (string, error) {
	call := fmt.Sprintf("write the check run %q of commit %s in %s", name, commit, r.Name())
	if r.app == nil {
		return "", &forge.CallError{Call: call, Class: forge.Person, Err: fmt.Errorf("%w: only a GitHub App may", errors.ErrUnsupported)}
	}
	if !isCommit(commit) {
		return "", &forge.CallError{Call: call, Class: forge.Bug, Err: errors.New("this is not a commit's name")}
	}
	summary, text := split(markdown)
	output := &github.CheckRunOutput{Title: &name, Summary: &summary}
	if text != "" {
		output.Text = &text
	}
	// Check runs of one name stand beside one another, so that ours is looked for first.
	// The list holds other Apps' too; only those of this App can be written.
	before, resp, err := r.api.client().Checks.ListCheckRunsForRef(ctx, r.owner, r.name, commit,
		&github.ListCheckRunsOptions{CheckName: &name, Filter: github.String("latest"), ListOptions: github.ListOptions{PerPage: 100}})
	if err != nil {
		return "", failure(call, resp, err)
	}
	self, err := r.app.self(ctx)
	if err != nil {
		return "", err
	}
	for _, run := range before.CheckRuns {
		if run.GetApp().GetSlug()+"[bot]" != self.Login {
			continue
		}
		run, resp, err := r.api.client().Checks.UpdateCheckRun(ctx, r.owner, r.name, run.GetID(), github.UpdateCheckRunOptions{Name: name, Output: output})
		return run.GetHTMLURL(), failure(call, resp, err)
	}
	run, resp, err := r.api.client().Checks.CreateCheckRun(ctx, r.owner, r.name, github.CreateCheckRunOptions{
		Name: name, HeadSHA: commit, Status: github.String("completed"), Conclusion: github.String("neutral"), Output: output})
	if err != nil {
		return "", failureOfWrite(call, resp, err)
	}
	return run.GetHTMLURL(), nil
}

// checkBytes is what each of a check run's two texts takes: 65,535 characters, with a
// margin for a fence that is closed and opened again.
const checkBytes = 65_000

// split makes two texts of one, at the end of a line. What is in a fenced block stays in
// one, and what does not fit is cut off.
func split(markdown string) (summary, text string) {
	summary, rest, fence := head(markdown)
	if rest == "" {
		return summary, ""
	}
	text, rest, _ = head(fence + rest)
	if rest != "" {
		text += "\n\n*The rest is too long for a check run.*\n"
	}
	return summary, text
}

// head takes as many lines as fit. fence opens the block again that it had to close.
func head(markdown string) (taken, rest, fence string) {
	if len(markdown) <= checkBytes {
		return markdown, "", ""
	}
	end := 0
	for line := range strings.Lines(markdown) {
		if end+len(line) > checkBytes {
			break
		}
		end += len(line)
		bare := strings.TrimSpace(line)
		marker := bare[:len(bare)-len(strings.TrimLeft(bare, "`"))]
		switch {
		case len(marker) < 3, len(bare) > 100: // a margin has to hold it twice
		case fence == "":
			fence = bare + "\n"
		case bare == marker && len(marker) >= len(fence)-len(strings.TrimLeft(fence, "`")):
			fence = ""
		}
	}
	if end == 0 { // one line is longer than everything
		end = checkBytes
		for end > 0 && markdown[end]&0xC0 == 0x80 { // not within a character
			end--
		}
	}
	taken, rest = markdown[:end], markdown[end:]
	if fence != "" {
		taken += fence[:len(fence)-len(strings.TrimLeft(fence, "`"))] + "\n"
	}
	return taken, rest, fence
}
