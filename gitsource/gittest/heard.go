package gittest

import (
	"slices"
	"sync"
)

// heard is what a server was asked for, and who answers in its place: A.
type heard[A any] struct {
	mu     sync.Mutex // guards what follows
	asked  []string
	answer A
}

// note writes down what was asked for and returns who answers it.
func (h *heard[A]) note(what string) A {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, what)
	return h.answer
}

// take returns what was asked for since the last call.
func (h *heard[A]) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := slices.Clone(h.asked)
	h.asked = nil
	return out
}

func (h *heard[A]) answerBy(a A) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = a
}
