package tool

import (
	"context"
	"os"
	"path"
	"path/filepath"
)

const giteaModule = "code.gitea.io/gitea"

// GiteaRecipe builds gitea, a whole forge in one program, and lays its templates and
// options beside it. Its pages come without their scripts and styles, which are not
// in the module; its API, Git over HTTP and webhooks are complete.
//
// Gitea's own way to SQLite is C. The recipe replaces it with SQLite as Go, in
// recipe/gitea/sqlite3, because a fresh machine has no C compiler.
func GiteaRecipe() Recipe {
	r := program(giteaFiles, "gitea", giteaModule, "Gitea", "about 5 minutes")
	r = withLinkerFlags(r, "-X main.Version="+versionOf(r.GoMod, giteaModule))
	r.Flags = append(r.Flags, "-tags", "sqlite,timetzdata")
	r.Files = map[string]string{}
	for name, file := range map[string]string{"sqlite3/go.mod": "sqlite3/go.mod.txt", "sqlite3/sqlite3.go": "sqlite3/sqlite3.go"} {
		r.Files[name] = text(giteaFiles, path.Join("recipe", r.Name, file))
	}
	r.Brings = Folders{Module: giteaModule, Names: []string{"templates", "options"}}
	r.Makes = append(r.Makes, "templates/base/head.tmpl", "options/locale/locale_en-US.json")
	return r
}

// Gitea returns the path of the pinned gitea, building it if need be with progress
// on standard error, and of the folder that is its STATIC_ROOT_PATH.
func Gitea(ctx context.Context) (program, static string, err error) {
	folder, err := ensure(ctx, GiteaRecipe(), os.Stderr)
	if err != nil {
		return "", "", err
	}
	return filepath.Join(folder, "gitea"), folder, nil
}
