package terraform

import (
	"errors"
	"fmt"
	"os"

	"github.com/stackreeve/stackreeve/reconciler/engine/farm"
	"github.com/stackreeve/stackreeve/reconciler/engine/telling"
	"github.com/stackreeve/stackreeve/reconciler/stackjob"
)

const (
	lockFileName     = ".terraform.lock.hcl"
	overrideFileName = "zz_reeve_backend_override.tf.json"
)

// plantFarm makes root/ show the task's module, unless it does.
func (p *phase) plantFarm() error {
	t := p.task
	f := farm.Farm{Folder: p.at.root, Record: p.at.farmFile, Skip: []string{".terraform"}, Replaced: []string{lockFileName}}
	err := f.Plant(farm.Source{Root: t.ModuleRoot, Path: t.ModulePath, Revision: t.ModuleRevision})
	if errors.Is(err, farm.ErrNoModule) {
		return telling.Author(stackjob.ReasonModule, "no folder "+orRoot(t.ModulePath)+" at revision "+t.ModuleRevision,
			fmt.Sprintf("The module's folder %s does not exist at revision %s.\nCheck the module's path.", orRoot(t.ModulePath), t.ModuleRevision))
	}
	return err
}

func isFolder(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

func orRoot(p string) string {
	if p == "" {
		return "/ (the repository's root)"
	}
	return p
}
