package web

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen takes a TCP address. When it is taken already, the error says by whom it could be, and how
// to take another.
func Listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: %w: another daemon or program has it; stop that one, or choose another address with --listen, REEVE_LISTEN or listen in reeve.yaml", addr, syscall.EADDRINUSE)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: %w: ports below 1024 need a privilege; choose another with --listen, REEVE_LISTEN or listen in reeve.yaml", addr, syscall.EACCES)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("listen on %s: %w: this machine has no such address; choose another with --listen, REEVE_LISTEN or listen in reeve.yaml", addr, syscall.EADDRNOTAVAIL)
	}
	return nil, fmt.Errorf("listen on %s: %w", addr, err)
}
