package web

import (
	"net"

	"golang.org/x/sys/unix"
)

func peerSupport() error { return nil }

// peerOf reads LOCAL_PEERCRED: the user that the peer had when it connected.
func peerOf(c *net.UnixConn) (uid uint32, err error) {
	err = control(c, func(fd int) error {
		cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
		if err == nil {
			uid = cred.Uid
		}
		return err
	})
	return uid, err
}
