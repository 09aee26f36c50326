package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// ErrSocketInUse means that a daemon answers on the socket already.
var ErrSocketInUse = errors.New("a daemon answers on this socket already")

// SocketListener is a unix socket that only certain users can reach.
type SocketListener struct {
	*net.UnixListener
	group bool
}

// ListenSocket makes the unix socket at path: mode 0600, or with a group 0660 and that group. A file that a
// killed daemon left there is replaced; a socket on which somebody answers is ErrSocketInUse; anything
// else at path is left alone and an error.
func ListenSocket(path, group string) (*SocketListener, error) {
	if err := peerSupport(); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if err := clearStale(path); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	gid := -1
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return nil, fmt.Errorf("socket %s: %w; see socketGroup in reeve.yaml", path, err)
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return nil, fmt.Errorf("socket %s: group %s has the id %q, which is no number", path, group, g.Gid)
		}
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	// Whoever connects before this is done is still asked for his user id.
	if err := restrict(path, gid); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return &SocketListener{UnixListener: ln, group: group != ""}, nil
}

func restrict(path string, gid int) error {
	if gid < 0 {
		return os.Chmod(path, 0o600)
	}
	if err := os.Chown(path, -1, gid); err != nil {
		return fmt.Errorf("%w; the daemon's user must be root or a member of the group", err)
	}
	return os.Chmod(path, 0o660) //nolint:gosec // the group is configured to have it
}

// Ping tells whether somebody answers on the socket at path.
func Ping(ctx context.Context, path string) error {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("socket %s: %w", path, err)
	}
	return c.Close()
}

// clearStale removes a socket on which nobody listens.
func clearStale(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file that is no socket; move it away, or set socket in reeve.yaml to another path")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("%w; stop it, or set dataDir or socket in reeve.yaml to another path", ErrSocketInUse)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// peer is who is at the other end of a connection, by the kernel's word.
type peer struct {
	uid uint32
	err error
}

type peerKey struct{}

// withPeer asks for the peer once for each connection: it cannot change.
func withPeer(ctx context.Context, c net.Conn, e entrance) context.Context {
	if !e.socket {
		return ctx
	}
	p := peer{err: errors.New("the connection is no unix socket")}
	if u, ok := c.(*net.UnixConn); ok {
		p.uid, p.err = peerOf(u)
	}
	return context.WithValue(ctx, peerKey{}, p)
}

// control runs f on the connection's file descriptor.
func control(c *net.UnixConn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
