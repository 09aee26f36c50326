package pulumi

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// noCheckpointBackups is the variable by which Pulumi writes no copy of the state into its
// own backups after each update: the state is backed up before each apply already, and
// nothing in Pulumi reads those copies or lets any go.
const noCheckpointBackups = "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS"

// updateFile reads the name of a file that Pulumi writes of an update, without the stack's
// name before it: STACK-NANOSECONDS.history.json and .checkpoint.json in its history, and
// STACK.NANOSECONDS.json in its backups. What may stand behind that is a compression, the
// attributes of a file, or a write that was killed.
// github.com/pulumi/pulumi/pkg/v3/backend/diy, addToHistory and backupStack.
var updateFile = regexp.MustCompile(`^[-.](\d+)(\.history|\.checkpoint|)\.json(?:\.gz|\.zst|)(\.attrs|\.[0-9a-f]+\.tmp|)$`)

// outdated are the files of updates that are older than the newest keep of them, in the
// order in which they can go one by one: the oldest update first, and of it what `pulumi
// stack history` lists before its copy of the state, which nothing reads. So what is listed
// at any moment are the newest updates, each of them whole, and what is left of one that is
// not listed goes the next time. Files with other names are nobody's here.
func outdated(names []string, stack string, keep int) []string {
	type file struct {
		name string
		at   int64
	}
	var all []file
	var updates []int64
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, stack)
		m := updateFile.FindStringSubmatch(rest)
		if !ok || m == nil {
			continue
		}
		at, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			continue // no time of Pulumi's
		}
		all = append(all, file{name, at})
		if m[2] != ".checkpoint" && m[3] == "" {
			updates = append(updates, at)
		}
	}
	slices.Sort(updates)
	updates = slices.Compact(updates)
	if len(updates) < keep {
		return nil
	}
	oldest := updates[len(updates)-keep] // of those that stay
	all = slices.DeleteFunc(all, func(f file) bool { return f.at >= oldest })
	slices.SortFunc(all, func(a, b file) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.name, a.name)) })
	var out []string
	for _, f := range all {
		out = append(out, f.name)
	}
	return out
}

// shortenHistory lets the oldest of what Pulumi keeps of a stack's updates go. Pulumi never
// does, and each update leaves a copy of the whole state. A backend that is not the stack's
// own folder in the data folder is not ours to clear.
func (p *phase) shortenHistory() error {
	if !p.isOwnFile() || p.stack.folder() == "" {
		return nil
	}
	for _, kept := range []string{"history", "backups"} { // backups are of updates by hand
		folder := filepath.Join(p.stack.folder(), kept, p.stack.project, p.stack.stack)
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var names []string
		for _, e := range entries {
			if e.Type().IsRegular() {
				names = append(names, e.Name())
			}
		}
		for _, name := range outdated(names, p.stack.stack, keptUpdates) {
			if err := os.Remove(filepath.Join(folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
