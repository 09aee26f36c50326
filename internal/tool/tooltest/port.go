package tooltest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"syscall"
)

// FreePort finds a port of 127.0.0.1 on which nobody listens: for a server that must be told
// its port before it starts, or that starts anew on the same one. It is none of those that the
// system gives to who listens anywhere or connects to somebody, so that tests which do so all
// the time do not take it meanwhile.
func FreePort() (int, error) {
	const lowest, most = 10000, 100
	end := firstGiven()
	if end <= lowest {
		return listens(0)
	}
	for range most {
		port, err := listens(lowest + rand.IntN(end-lowest)) //nolint:gosec // nobody has to be kept from guessing it
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return port, err
		}
	}
	return 0, fmt.Errorf("of %d ports from %d to %d none was free", most, lowest, end-1)
}

// listens listens on a port for a moment, and returns its number; 0 is any.
func listens(port int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// firstGiven is the first port that the system gives by itself: on Linux as it says, elsewhere
// the first dynamic one of RFC 6335.
func firstGiven() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 49152
	}
	first := 0
	if _, err := fmt.Sscan(string(text), &first); err != nil {
		return 0
	}
	return first
}
