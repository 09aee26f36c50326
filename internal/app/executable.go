package app

import (
	"fmt"
	"os"
)

// Executable is how this program is started again for a runner. The path is
// resolved once, at start. On Linux a binary that is replaced while the daemon runs is
// used after a restart (docs/decisions/0041).
func Executable() ([]string, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the own executable: %w", err)
	}
	return []string{exe}, nil
}
