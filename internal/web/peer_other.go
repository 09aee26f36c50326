//go:build !linux && !darwin

package web

import (
	"errors"
	"net"
	"runtime"
)

// errNoPeer: without the kernel's word anybody could say to be anybody.
var errNoPeer = errors.New("on " + runtime.GOOS + " it cannot be told who connects to a unix socket; use a token over TCP")

func peerSupport() error { return errNoPeer }

func peerOf(*net.UnixConn) (uint32, error) { return 0, errNoPeer }
