package tool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ErrVulnerable means that govulncheck found a vulnerability that the code calls.
var ErrVulnerable = errors.New("vulnerabilities found")

// The exit status with which govulncheck reports findings; every other one means
// that it could not work.
const exitVulnerable = 3

// CheckVulnerabilities runs govulncheck over the packages that patterns name, in
// the module of the working directory, and prints its report to out. A database
// that cannot be reached (GOVULNDB, default https://vuln.go.dev), before or
// within the limit, is said on out and is no error: the check depends on a
// server, the code does not. Findings are ErrVulnerable.
func CheckVulnerabilities(ctx context.Context, out io.Writer, limit time.Duration, patterns ...string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	database := cmp.Or(os.Getenv("GOVULNDB"), "https://vuln.go.dev")
	if err := reachDatabase(ctx, database); err != nil {
		fmt.Fprintf(out, "govulncheck: not run, the vulnerability database cannot be reached: %v\n", err)
		return nil
	}
	folder, err := ensure(ctx, GovulncheckRecipe(), out)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(folder, "govulncheck"), append([]string{"-db", database}, patterns...)...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		fmt.Fprintf(out, "govulncheck: given up after %s\n", limit)
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == exitVulnerable:
		return ErrVulnerable
	}
	return fmt.Errorf("govulncheck: %w", err)
}

// reachDatabase asks for the file that govulncheck asks for first. A database in
// a file system ("file://…") is govulncheck's to read.
func reachDatabase(ctx context.Context, database string) error {
	if strings.HasPrefix(database, "file:") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, strings.TrimSuffix(database, "/")+"/index/db.json.gz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", req.URL, resp.Status)
	}
	return nil
}
