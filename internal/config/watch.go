package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// WatchOptions say what is watched and who is told.
type WatchOptions struct {
	// Current is the configuration in force. Its File is watched, if it has one, and the files of
	// the secrets that are read when it is put in force: of tokens, and of variables of jobs. (What
	// a repository is reached with is read for every exchange.)
	Current Config
	// Load reads the configuration anew.
	Load func() (Config, diag.List, error)
	// Apply puts a good configuration in force. When it fails, the old one stays.
	Apply func(Config) error
	// Report is told of every reload, good or bad; nil means nobody.
	Report func(Reload)
	// Fixed are further fields, by path ("jobs.parallel"), whose values the daemon cannot change
	// while it runs.
	Fixed []string
	// Again makes the configuration be read once more although its files are the same. nil means
	// never.
	Again <-chan os.Signal
	// Debounce is how long the files' folders must have been quiet before they are read; zero means
	// 200 ms. A folder that is never quiet is read after ten times that.
	Debounce time.Duration
}

// Reload is what became of a changed file.
type Reload struct {
	// Applied tells that the new configuration is in force, but for NeedRestart.
	Applied bool
	// NeedRestart are fields whose new values take effect at the next start; the running daemon
	// keeps the old ones.
	NeedRestart []string
	// Diagnostics are what was found in the file; with errors nothing of it was taken.
	Diagnostics diag.List
	// Err says that the file could not be read, or not applied.
	Err error
}

// Watch reads the configuration again whenever its file or a secret's changes or o.Again says so, until ctx ends,
// and then returns nil. A configuration with errors changes nothing. It watches the files' folders, and so sees
// editors that save by renaming, and Kubernetes, which swaps a link. An error says that the folder of the
// configuration cannot be watched; for a secret's that is only reported.
func Watch(ctx context.Context, o WatchOptions) error {
	if o.Debounce == 0 {
		o.Debounce = 200 * time.Millisecond
	}
	if o.Report == nil {
		o.Report = func(Reload) {}
	}
	file := o.Current.File
	if file != "" {
		var err error
		if file, err = filepath.Abs(file); err != nil {
			return fmt.Errorf("watch configuration: %w", err)
		}
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	defer w.Close() //nolint:errcheck // nothing is lost
	if err := watchFolders(w, file); err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	current, named := o.Current, o.Current.secretFiles()
	o.watchNamed(w, named)
	seen := fingerprints(named)
	seen[file] = o.Current.Digest
	quiet := time.NewTimer(0) // the first look is for what changed before the watch began
	defer quiet.Stop()
	var since time.Time // when it was last quiet; zero when nothing has stirred since
	stirred := func() {
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) < 10*o.Debounce {
			quiet.Reset(o.Debounce)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Events:
			stirred()
		case err := <-w.Errors: // events may have been lost
			stirred()
			if err != nil {
				o.Report(Reload{Err: fmt.Errorf("watch configuration: %w", err)})
			}
		case <-o.Again:
			seen = nil // whatever the files say, they are taken as changed
			quiet.Reset(0)
		case <-quiet.C:
			since = time.Time{}
			if err := watchFolders(w, file); err != nil { // a link may lead elsewhere now
				o.Report(Reload{Err: fmt.Errorf("watch configuration: %w", err)})
			}
			now := fingerprints(append([]string{file}, named...))
			if maps.Equal(now, seen) {
				continue
			}
			var r Reload
			var read Config
			r, read, current = o.reload(current)
			// A refused configuration is watched for, too: the secret that it misses may come.
			named = slices.Compact(slices.Sorted(slices.Values(append(current.secretFiles(), read.secretFiles()...))))
			o.watchNamed(w, named)
			// What changed while it was read has not been seen.
			seen = fingerprints(append([]string{file}, named...))
			for f := range seen {
				if before, ok := now[f]; ok {
					seen[f] = before
				}
			}
			o.Report(r)
		}
	}
}

// secretFiles are the files of secrets that are read when a configuration is put in force.
func (c Config) secretFiles() []string {
	var out []string
	for _, t := range c.Tokens {
		out = append(out, t.ValueFrom.File)
	}
	for _, v := range c.Jobs.Environment {
		out = append(out, v.File)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(f string) bool { return f == "" })
}

// watchNamed watches the folders of secrets' files.
func (o WatchOptions) watchNamed(w *fsnotify.Watcher, files []string) {
	for _, f := range files {
		abs, err := filepath.Abs(f)
		if err == nil {
			err = watchFolders(w, abs)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // loading says that the file is missing
			o.Report(Reload{Err: fmt.Errorf("watch the file of a secret: %w", err)})
		}
	}
}

// reload reads and applies. It returns what was read, and what is in force after it.
func (o WatchOptions) reload(current Config) (r Reload, read, inForce Config) {
	next, list, err := o.Load()
	r = Reload{Diagnostics: list, Err: err}
	if err != nil || list.HasErrors() {
		return r, next, current
	}
	r.NeedRestart = keepUntilRestart(current, &next, append(slices.Clone(fixedFields), o.Fixed...))
	if err := o.Apply(next); err != nil {
		r.Err = fmt.Errorf("apply configuration: %w", err)
		return r, next, current
	}
	r.Applied = true
	return r, next, next
}

// fixedFields cannot change while a daemon runs.
var fixedFields = []string{"dataDir", "listen", "socket", "socketGroup"}

// keepUntilRestart puts the running values back where a new one cannot take effect, and names the
// fields.
func keepUntilRestart(current Config, next *Config, fields []string) []string {
	var out []string
	was, is := reflect.ValueOf(&current).Elem(), reflect.ValueOf(next).Elem()
	for _, v := range variablesOf(was.Type(), "", nil) {
		if !slices.Contains(fields, v.path) {
			continue
		}
		a, b := was.FieldByIndex(v.index), is.FieldByIndex(v.index)
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			b.Set(a)
			out = append(out, v.path)
		}
	}
	return out
}

// watchFolders watches the folder of the file, and that of every link on the way to it.
func watchFolders(w *fsnotify.Watcher, file string) error {
	if file == "" {
		return nil
	}
	for range 16 { // a loop of links ends here
		dir := filepath.Dir(file)
		if !slices.Contains(w.WatchList(), dir) {
			if err := w.Add(dir); err != nil {
				return err
			}
		}
		to, err := os.Readlink(file)
		if err != nil {
			return nil //nolint:nilerr // it is no link: the end of the way
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		file = to
	}
	return nil
}

// fingerprints are those of several files.
func fingerprints(files []string) map[string]string {
	out := make(map[string]string, len(files))
	for _, f := range files {
		out[f] = fingerprint(f)
	}
	return out
}

// fingerprint tells one content from another; a file that cannot be read has one too.
func fingerprint(file string) string {
	if file == "" {
		return ""
	}
	b, err := readFile(file)
	if err != nil {
		return "unreadable: " + err.Error()
	}
	return digest(b)
}

// digest identifies a file's text.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
