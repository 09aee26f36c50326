// Package examples holds config repositories to try and to learn from. They are
// embedded, so that a binary alone can show what it does, and run by tests, so that
// they are true.
//
// [Quickstart] is a whole repository with a catalogue kind, three environments and
// policies. [Adopt] is Terraform code that was there before, and the one file that
// adopts it. [PullRequests] is a repository that is changed by pull requests, with teams
// who approve. [Pulumi] is a Pulumi program in two environments, and a kind with a
// module for each engine. Their modules use nothing but what is built into the engines: no
// provider is downloaded and no account is needed.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed quickstart adopt pull-requests pulumi
var files embed.FS

// Quickstart is the config repository that the demo runs.
func Quickstart() fs.FS { return folder("quickstart") }

// Adopt is a config repository beside existing Terraform code.
func Adopt() fs.FS { return folder("adopt") }

// PullRequests is a config repository with teams, approvals and an environment that is
// applied before the merge.
func PullRequests() fs.FS { return folder("pull-requests") }

// Pulumi is a config repository of a Pulumi program, with two environments and a secret,
// and of a kind that Pulumi and Terraform make alike.
func Pulumi() fs.FS { return folder("pulumi") }

func folder(name string) fs.FS {
	sub, err := fs.Sub(files, name)
	if err != nil {
		panic(err) // the names above are folders of the embedded files
	}
	return sub
}
