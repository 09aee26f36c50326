package schema

import (
	"context"
	"errors"
	"sync"
)

type entry struct{}

// loader is what a Loader holds.
type loader struct {
	opts Options
	mu   sync.Mutex
}

func newLoader(o Options) *Loader {
	l := &Loader{}
	l.opts = o
	return l
}

func (l *loader) load(context.Context, Source) (*Tree, error) {
	return nil, errors.New("load the repository: the loader is not in this revision")
}
