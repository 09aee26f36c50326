package transport_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/gitsource/forge/transport"
)

func TestAFailureHidesTheCredentialThatTheForgeShows(t *testing.T) {
	t.Parallel()
	for header, value := range map[string]string{"Authorization": "Bearer canary-1234", "Private-Token": "canary-1234", "Job-Token": "canary-1234"} {
		sent := &http.Request{Header: http.Header{header: {value}}}
		for _, status := range []int{400, 401, 403, 404, 409, 429, 500, 502} {
			err := transport.Failure("ask", &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: sent}, "you sent "+value, nil)
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("%s, %d: %v", header, status, err)
			}
		}
	}
}
