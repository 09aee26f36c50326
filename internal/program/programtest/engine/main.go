// Command engine stands for an engine in tests: a real program that answers `version` as
// the engine does after which its file is called. Its version is the last line of its own
// file; each time that it is run it appends a byte to the file beside it that is called as
// itself with .asked behind it.
package main

import (
	"bytes"
	"os"
	"path/filepath"
)

func main() {
	self, err := os.Executable()
	if err != nil {
		os.Exit(3)
	}
	if note, err := os.OpenFile(self+".asked", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
		_, _ = note.WriteString(".")
		_ = note.Close()
	}
	file, err := os.ReadFile(self)
	if err != nil {
		os.Exit(3)
	}
	number := string(file[bytes.LastIndexByte(file, '\n')+1:])
	if len(os.Args) < 2 || os.Args[1] != "version" {
		os.Exit(2)
	}
	name := map[string]string{"terraform": "Terraform ", "tofu": "OpenTofu "}[filepath.Base(os.Args[0])]
	if name != "" {
		_, _ = os.Stdout.WriteString("a warning about the configuration\n")
	}
	_, _ = os.Stdout.WriteString(name + "v" + number + "\n")
}
