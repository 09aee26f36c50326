package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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
	// Current is the configuration in force; its File is watched.
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
	// Again makes the configuration be read once more although its file is the same: what it
	// names, a token's file, may have changed. nil means never.
	Again <-chan os.Signal
	// Debounce is how long the file must have been quiet before it is read; zero means 200 ms.
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

// Watch reads the configuration again whenever its file changes or o.Again says so, until ctx ends, and then
// returns nil. A configuration with errors changes nothing. It watches the file's folder, and so sees
// editors that save by renaming, and Kubernetes, which swaps a link. An error says that the folder
// cannot be watched.
func Watch(ctx context.Context, o WatchOptions) error {
	if o.Debounce == 0 {
		o.Debounce = 200 * time.Millisecond
	}
	if o.Report == nil {
		o.Report = func(Reload) {}
	}
	file, err := filepath.Abs(o.Current.File)
	if err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	defer w.Close() //nolint:errcheck // nothing is lost
	if err := watchFolders(w, file); err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	seen, current := o.Current.Digest, o.Current
	quiet := time.NewTimer(0) // the first look is for what changed before the watch began
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Events:
			quiet.Reset(o.Debounce)
		case err := <-w.Errors: // events may have been lost
			quiet.Reset(o.Debounce)
			if err != nil {
				o.Report(Reload{Err: fmt.Errorf("watch configuration: %w", err)})
			}
		case <-o.Again:
			seen = "" // whatever the file says, it is taken as changed
			quiet.Reset(0)
		case <-quiet.C:
			if err := watchFolders(w, file); err != nil { // a link may lead elsewhere now
				o.Report(Reload{Err: fmt.Errorf("watch configuration: %w", err)})
			}
			if now := fingerprint(file); now != seen {
				seen = now
				var r Reload
				r, current = o.reload(current)
				o.Report(r)
			}
		}
	}
}

// reload reads and applies. It returns what is in force after it.
func (o WatchOptions) reload(current Config) (Reload, Config) {
	next, list, err := o.Load()
	r := Reload{Diagnostics: list, Err: err}
	if err != nil || list.HasErrors() {
		return r, current
	}
	r.NeedRestart = keepUntilRestart(current, &next, append(slices.Clone(fixedFields), o.Fixed...))
	if err := o.Apply(next); err != nil {
		r.Err = fmt.Errorf("apply configuration: %w", err)
		return r, current
	}
	r.Applied = true
	return r, next
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

// fingerprint tells one content from another; a file that cannot be read has one too.
func fingerprint(file string) string {
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
