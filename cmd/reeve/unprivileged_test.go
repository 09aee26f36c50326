package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stackreeve/stackreeve/internal/tool/tooltest"
)

// nobody is the user without rights of every Linux system.
const nobody = 65534

// unprivileged makes a command of a copy of this program that the user without
// rights may run, in a folder that they may read and not write.
func unprivileged(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	folder, err := os.MkdirTemp("", "rv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	program := filepath.Join(folder, "reeve") // the name makes it the command line, see TestMain
	tooltest.CopyOwnProgram(t, program)
	for _, d := range []string{"data", "repository", "repository/acme", "repository/acme/dev"} {
		if err := os.Mkdir(filepath.Join(folder, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"data", ""} {
		if err := os.Chmod(filepath.Join(folder, d), 0o555); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(folder, 0o755) })
	cmd := exec.Command(program, args...)
	cmd.Dir = folder
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "REEVE_DATA_DIR=" + filepath.Join(folder, "data"), "REEVE_LISTEN=127.0.0.1:0"}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

func TestAReadOnlyDataFolderIsOneClearMessage(t *testing.T) {
	t.Parallel()
	cmd := unprivileged(t, "serve", "--repository", "repository")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != exitFailed {
		t.Fatalf("%v, expected exit code %d\n%s", err, exitFailed, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "reeve: open the data folder "+filepath.Join(cmd.Dir, "data")) ||
		!strings.Contains(lines[0], "cannot be written") {
		t.Errorf("said:\n%s", out)
	}
}

func TestDoctorTellsOfAReadOnlyDataFolder(t *testing.T) {
	t.Parallel()
	cmd := unprivileged(t, "doctor")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != exitFindings {
		t.Fatalf("%v, expected exit code %d\n%s", err, exitFindings, out)
	}
	found := false
	for _, l := range strings.Split(string(out), "\n") {
		found = found || strings.HasPrefix(l, "data folder") && strings.Contains(l, "missing") && strings.Contains(l, "make it writable for this user")
	}
	if !found {
		t.Errorf("said:\n%s", out)
	}
}
