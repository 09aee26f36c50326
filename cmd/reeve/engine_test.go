package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stackreeve/stackreeve/internal/program/programtest"
)

// mirror serves releases of Pulumi, made of real small programs, until the script ends:
// "mirror VERSION...". Its address is in $MIRROR.
func mirror(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) == 0 {
			ts.Fatalf("usage: mirror VERSION...")
		}
		files := map[string][]byte{}
		for _, number := range args {
			binary := programtest.Binary(t, number)
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			w := tar.NewWriter(z)
			for _, name := range []string{"pulumi/pulumi", "pulumi/pulumi-language-yaml"} {
				ts.Check(w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(binary)), Typeflag: tar.TypeReg}))
				_, err := w.Write(binary)
				ts.Check(err)
			}
			ts.Check(errors.Join(w.Close(), z.Close()))
			arch := runtime.GOARCH
			if arch == "amd64" {
				arch = "x64"
			}
			name := "pulumi-v" + number + "-" + runtime.GOOS + "-" + arch + ".tar.gz"
			sum := sha256.Sum256(b.Bytes())
			files["/"+name] = b.Bytes()
			files["/pulumi-"+number+"-checksums.txt"] = []byte(hex.EncodeToString(sum[:]) + "  " + name + "\n")
		}
		list, err := json.Marshal(args)
		ts.Check(err)
		files["/versions.json"] = list
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, ok := files[r.URL.Path]
			if !ok {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write(b)
		}))
		ts.Defer(server.Close)
		ts.Setenv("MIRROR", server.URL)
	}
}
