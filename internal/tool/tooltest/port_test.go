package tooltest

import "testing"

func TestAFreePortIsNoneThatTheSystemGives(t *testing.T) {
	t.Parallel()
	first := firstGiven()
	for range 20 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if port <= 0 || first > 10000 && port >= first {
			t.Errorf("port %d: the system gives those from %d on", port, first)
		}
	}
}
