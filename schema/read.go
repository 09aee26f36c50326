package schema

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// parsedFile is a file read for itself, without regard to other files.
type parsedFile struct {
	text     *text
	findings []finding
	masks    []mask
	own      ownDocuments
	// resources are the resource documents until they are bound; hasResources stays.
	resources    []envelope
	hasResources bool
	// unreadable says that a document is missing from all this because of an error in
	// its YAML.
	unreadable bool
	// project is what a program's Pulumi.yaml says; nil in any other file.
	project *pulumiProject
	// organization says that an Organization document lies at the root, where it is not read.
	organization bool
}

// parseNew reads and parses the files that the last load did not know.
func (l *loader) parseNew(ctx context.Context, src Source, s *state) error {
	var todo []*entry
	for _, e := range s.entries {
		if e.file == nil {
			todo = append(todo, e)
		}
	}
	return inParallel(ctx, len(todo), func(i int) error {
		f, err := l.parseFile(src, todo[i])
		if err != nil {
			return fmt.Errorf("%s: %w", todo[i].path, err)
		}
		todo[i].file = f
		return nil
	})
}

// inParallel does n pieces of work on all processors, until one fails.
func inParallel(ctx context.Context, n int, work func(i int) error) error {
	g, gctx := errgroup.WithContext(ctx)
	workers := min(runtime.GOMAXPROCS(0), n)
	for w := range workers {
		g.Go(func() error {
			for i := w; i < n; i += workers {
				if err := gctx.Err(); err != nil {
					return err
				}
				if err := work(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// parseFile reads one file and everything in it that can be understood alone.
func (l *loader) parseFile(src Source, e *entry) (*parsedFile, error) {
	f := &parsedFile{text: &text{path: e.path}}
	r := &reader{reporter: &reporter{text: f.text, scope: e.layout.scope}, layout: e.layout}
	defer func() { f.findings, f.masks = r.findings, r.masks }()
	switch {
	case e.mode&fs.ModeSymlink != 0:
		f.unreadable = true
		r.report(symlinkFinding(src, e.path), place{})
		return f, nil
	case e.mode != 0:
		f.unreadable = true
		r.report(diag.Diagnostic{Code: diag.UnreadableFile, Found: "neither a file nor a folder"}, place{})
		return f, nil
	case e.layout.role == stray:
		d := strayFinding(e.path)
		if f.organization = l.isOrganization(src, e); f.organization {
			d.Detail, d.Hint = "an Organization stands in its own folder", rootHint
		}
		r.report(d, place{})
		return f, nil
	case e.code != "" && (e.layout.role == mixed || e.layout.scope.env == "") && !e.isProject():
		return f, nil
	}
	data, err := l.read(src, e)
	if errors.Is(err, errTooLarge) && e.isProject() {
		f.project = &pulumiProject{file: e.path, wrong: "it is too large"}
		return f, nil
	}
	if errors.Is(err, errTooLarge) {
		f.unreadable = true
		r.report(diag.Diagnostic{Code: diag.FileTooLarge, Expected: fmt.Sprintf("at most %d bytes", l.opts.MaxFileBytes),
			Hint: "split it into several files"}, place{})
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	if e.isProject() {
		f.project = readProject(e.path, data)
		if e.layout.role == mixed || e.layout.scope.env == "" {
			return f, nil
		}
	}
	f.text.data = data
	docs, findings := parse(f.text, l.opts)
	if e.code != "" {
		f.documentsInCode(r, docs, e.code)
		return f, nil
	}
	if e.layout.role == mixed && !mentionsUs(data) {
		findings = nil
	}
	for _, d := range findings {
		f.unreadable = f.unreadable || d.Severity == diag.Error
		r.findings = append(r.findings, finding{Diagnostic: d, freezes: []scope{e.layout.scope}})
	}
	if e.layout.badFolder != "" {
		r.report(diag.Diagnostic{Code: diag.InvalidFolderName, Found: fmt.Sprintf("%q", e.layout.badFolder),
			Expected: "lower-case letters, digits and single hyphens", Hint: fmt.Sprintf("call it %q", Slug(path.Base(e.layout.badFolder)))}, place{})
	}
	for i := range docs {
		f.document(r, &docs[i])
	}
	return f, nil
}

// mentionsUs tells whether a text that is not YAML may have been meant as one of our
// documents. Among modules there is YAML of other programs, and templates of YAML.
func mentionsUs(data string) bool {
	return slices.ContainsFunc(knownDomains, func(d string) bool { return strings.Contains(data, d+"/v") })
}

// document reads one document of a file.
func (f *parsedFile) document(r *reader, v *value) {
	if r.layout.role == mixed && !looksLikeOurs(v) {
		return
	}
	e, ok := r.envelope(v)
	if !ok {
		f.unreadable = true
		return
	}
	if isNotYet(e.Kind) {
		r.report(diag.Diagnostic{Code: diag.KindNotSupportedYet, Severity: diag.Warning, Detail: "kind " + e.Kind}, e.kindAt)
		return
	}
	if r.own(&e, &f.own) {
		return
	}
	f.unreadable = f.unreadable || !isSlug(e.Metadata.Slug)
	f.resources = append(f.resources, e)
	f.hasResources = true
}

// documentsInCode refuses documents beside a module's code in an environment: they are
// not read there, and a resource that is not read would look like one that was removed.
func (f *parsedFile) documentsInCode(r *reader, docs []value, folder string) {
	for i := range docs {
		if !looksLikeOurs(&docs[i]) {
			continue
		}
		f.unreadable = true
		k, _ := docs[i].get("kind")
		r.report(diag.Diagnostic{Code: diag.DocumentInCode, Found: fmt.Sprintf("kind %s in %s", k.val.text, folder),
			Hint: fmt.Sprintf("move it out of %s; a module is named by its folder from anywhere", folder)}, k.val.at)
	}
}

var errTooLarge = errors.New("the file is too large")

// read reads a file up to the limit.
func (l *loader) read(src Source, e *entry) (_ string, err error) {
	if e.size > l.opts.MaxFileBytes {
		return "", errTooLarge
	}
	f, err := src.Open(e.path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var b strings.Builder
	b.Grow(int(e.size))
	n, err := io.Copy(&b, io.LimitReader(f, l.opts.MaxFileBytes+1))
	if err != nil {
		return "", err
	}
	if n > l.opts.MaxFileBytes {
		return "", errTooLarge
	}
	return b.String(), nil
}

func symlinkFinding(src Source, p string) diag.Diagnostic {
	d := diag.Diagnostic{Code: diag.Symlink, Hint: "put the file itself here; a module can be named by its folder from anywhere"}
	target, err := fs.ReadLink(src, p)
	if err != nil {
		return d
	}
	d.Found = fmt.Sprintf("a link to %q", target)
	if joined := path.Join(path.Dir(p), target); path.IsAbs(target) || joined == ".." || strings.HasPrefix(joined, "../") {
		d.Detail = "it leads out of the repository"
	}
	return d
}

// rootHint is for a root that is not the repository's.
const rootHint = "this looks like an organization's folder; give its parent"

// isOrganization tells whether a file at the root is an organization's document: then the
// root is the organization's folder and everything in it seems to stand one level too high.
func (l *loader) isOrganization(src Source, e *entry) bool {
	if strings.Contains(e.path, "/") {
		return false
	}
	data, err := l.read(src, e)
	if err != nil {
		return false // it is not read anyway
	}
	docs, _ := parse(&text{path: e.path, data: data}, l.opts)
	return slices.ContainsFunc(docs, func(v value) bool {
		k, ok := v.get("kind")
		return ok && k.val.text == KindOrganization && looksLikeOurs(&v)
	})
}

func strayFinding(p string) diag.Diagnostic {
	d := diag.Diagnostic{Code: diag.StrayFile, Severity: diag.Warning,
		Detail: "only platform.yaml is read from the root of the repository", Expected: "documents in an organization's folder, such as acme/dev/network.yaml"}
	if strings.Contains(p, "/") {
		d.Detail = "the folder's name holds no letter or digit, so it can be neither an organization nor an environment"
	}
	if nearest(strings.TrimSuffix(path.Base(p), path.Ext(p)), []string{"platform"}) != "" {
		d.Hint = `did you mean "platform.yaml"?`
	}
	return d
}
