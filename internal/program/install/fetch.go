package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// The largest answers that are taken.
const (
	maxDocument = 64 << 20
	maxArchive  = 2 << 30
	maxUnpacked = 4 << 30
)

// client is the client of all requests of an install; what it downloads is counted.
func (i *installation) client() *http.Client {
	c := http.Client{Timeout: patience}
	if i.Client != nil {
		c = *i.Client
	}
	if c.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = time.Minute
		c.Transport = t
	}
	c.Transport = counting{i, c.Transport}
	c.CheckRedirect = redirected
	return &c
}

// maxRedirects is how often a file may be said to be elsewhere, as many as net/http allows.
const maxRedirects = 10

// redirected lets a server send on to another, as long as nobody on the way can put something
// else in: of what is not signed, the address is all that is trusted.
func redirected(to *http.Request, from []*http.Request) error {
	switch {
	case len(from) >= maxRedirects:
		return fmt.Errorf("it was redirected %d times", maxRedirects)
	case from[len(from)-1].URL.Scheme == "https" && to.URL.Scheme != "https":
		return fmt.Errorf("%s redirects from https to %s, where anybody on the way could change what is got", from[len(from)-1].URL.Host, to.URL.Scheme)
	}
	return nil
}

// counting tells of downloads as they come.
type counting struct {
	i     *installation
	inner http.RoundTripper
}

// RoundTrip has the body counted when it is large enough for anybody to wait for. A web page
// is what stands before a mirror, or in place of one: nothing that is asked for here is any.
func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.inner.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusOK && isPage(resp) {
		_ = resp.Body.Close()
		return nil, errors.New("the answer is a web page, perhaps one to log in, and not a file of a release")
	}
	if err == nil && resp.ContentLength < 0 {
		resp.ContentLength = 0 // hc-install takes -1, "not known", for a size
	}
	if err == nil && c.i.Progress != nil && resp.StatusCode == http.StatusOK && (resp.ContentLength == 0 || resp.ContentLength > 1<<18) {
		resp.Body = &counted{ReadCloser: resp.Body, i: c.i, p: Progress{What: "download " + path.Base(r.URL.Path), Total: resp.ContentLength}}
	}
	return resp, err
}

func isPage(resp *http.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && kind == "text/html"
}

type counted struct {
	io.ReadCloser
	i *installation
	p Progress
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.p.Done += int64(n)
	c.i.Progress(c.p)
	return n, err
}

// errNotThere is that a server has no such file.
var errNotThere = errors.New("404 Not Found")

// open asks for a file. That there is none is errNotThere.
func (i *installation) open(ctx context.Context, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := i.client().Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%s: %w", url, errNotThere)
	}
	return nil, fmt.Errorf("%s: %s", url, resp.Status)
}

// document is a small file.
func (i *installation) document(ctx context.Context, url string) ([]byte, error) {
	body, err := i.open(ctx, url)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	b, err := io.ReadAll(io.LimitReader(body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if len(b) > maxDocument {
		return nil, fmt.Errorf("%s: it is larger than %d bytes", url, maxDocument)
	}
	return b, nil
}

// noList is said where a mirror has no list of versions; a version that is named needs none.
const noList = "there is no list of versions at this address; name one version, as in NAME@1.2.3, to do without"

// list reads a JSON document with the versions that there are.
func (i *installation) list(ctx context.Context, url string, into any) error {
	b, err := i.document(ctx, url)
	if errors.Is(err, errNotThere) {
		return fmt.Errorf("%w: %s", err, noList)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: it is no list of versions: %w", url, err)
	}
	return nil
}

// archive downloads a .tar.gz, compares it with its line in sums, and unpacks it into a
// folder: the files of its root and of folders called strip. Nothing is unpacked before
// the checksum is known to be right.
func (i *installation) archive(ctx context.Context, url string, sums []byte, strip, to string) error {
	want, err := checksum(sums, path.Base(url))
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	file, err := os.Create(filepath.Join(filepath.Dir(to), "archive"))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	body, err := i.open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(file, h), io.LimitReader(body, maxArchive+1))
	if err != nil {
		return fmt.Errorf("%s: after %d bytes: %w", url, n, err)
	}
	if is := hex.EncodeToString(h.Sum(nil)); is != want {
		return fmt.Errorf("%s: the checksum does not match: it is %s, and the release says %s: nothing was installed", url, is, want)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := unpack(ctx, file, strip, to); err != nil {
		return fmt.Errorf("unpack %s: %w", path.Base(url), err)
	}
	return nil
}

// checksum finds the line of a file: "SHA-256, two spaces, name".
func checksum(sums []byte, name string) (string, error) {
	for line := range bytes.Lines(sums) {
		words := strings.Fields(string(line))
		if len(words) == 2 && strings.TrimPrefix(words[1], "*") == name {
			if b, err := hex.DecodeString(words[0]); err == nil && len(b) == sha256.Size {
				return strings.ToLower(words[0]), nil
			}
		}
	}
	return "", errors.New("the release has no checksum of it: nothing was installed")
}

// unpack writes the regular files of an archive into a folder, without folders.
func unpack(ctx context.Context, r io.Reader, strip, to string) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	left := int64(maxUnpacked)
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		dir, name := path.Split(path.Clean(h.Name))
		if h.Typeflag != tar.TypeReg || dir != "" && path.Clean(dir) != strip || !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) {
			continue
		}
		if left -= h.Size; left < 0 {
			return fmt.Errorf("it is larger than %d bytes", int64(maxUnpacked))
		}
		mode := os.FileMode(0o644)
		if h.Mode&0o100 != 0 {
			mode = 0o755
		}
		if err := writeFile(filepath.Join(to, name), t, mode); err != nil {
			return err
		}
	}
}

// synced has a file that a library wrote written down to the disk.
func synced(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// writeFile writes a file down to the disk: what is renamed into its place must be whole
// after a power cut, too.
func writeFile(path string, r io.Reader, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Sync(), f.Close())
}
