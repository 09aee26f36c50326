package redact_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stackreeve/stackreeve/reconciler/engine/runner/redact"
)

// through sends a text in pieces of n bytes.
func through(r *redact.Redactor, text string, n int) string {
	var out []byte
	for len(text) > n {
		out = r.Append(out, []byte(text[:n]))
		text = text[n:]
	}
	return string(r.Flush(r.Append(out, []byte(text))))
}

func TestTextIsCleanAndMasked(t *testing.T) {
	t.Parallel()
	const secret = `p"a<s>s/w ö\rd`
	for name, c := range map[string]struct {
		secrets  []string
		in, want string
	}{
		"plain":                        {nil, "a\tb\nc", "a\tb\nc"},
		"as it is":                     {[]string{"hunter2"}, "hunter2 is not hunter3", "(sensitive) is not hunter3"},
		"next to each other":           {[]string{"hunter2"}, "hunter2hunter2", "(sensitive)(sensitive)"},
		"the longest wins":             {[]string{"hunter", "hunter2-and-more"}, "hunter2-and-more hunter2-and", "(sensitive) (sensitive)2-and"},
		"quoted":                       {[]string{secret}, `x = "p\"a<s>s/w ö\\rd"`, `x = "(sensitive)"`},
		"quoted for HTML":              {[]string{secret}, `{"x":"p\"a\u003cs\u003es/w ö\\rd"}`, `{"x":"(sensitive)"}`},
		"in a URL":                     {[]string{secret}, "https://u:" + url.QueryEscape(secret) + "@h/" + url.PathEscape(secret), "https://u:(sensitive)@h/(sensitive)"},
		"base64":                       {[]string{"hunter2!"}, base64.StdEncoding.EncodeToString([]byte("hunter2!")), "(sensitive)="},
		"a colour inside it":           {[]string{"hunter2"}, "\x1b[31mhun\x1b[0mter2\x1b[0m\n", "(sensitive)\n"},
		"too short":                    {[]string{"abc"}, "abc", "abc"},
		"a plain word":                 {[]string{"true", "TRUE", "null"}, "true TRUE null", "true TRUE null"},
		"empty":                        {[]string{"", "  \n"}, "  \n", "  \n"},
		"white space around it":        {[]string{"hunter2\n"}, "[hunter2]", "[(sensitive)]"},
		"lines of a long one":          {[]string{"-----BEGIN KEY-----\nMIIBVgIBADAN\n}\n-----END KEY-----\n"}, "| MIIBVgIBADAN\n}\n-----BEGIN KEY-----", "| (sensitive)\n}\n-----BEGIN KEY-----"},
		"no UTF-8":                     {nil, "a\xffb\xc3", "a\uFFFDb\uFFFD"},
		"a secret that is no UTF-8":    {[]string{"\xff\xfebinary"}, "x\xff\xfebinary", "x(sensitive)"},
		"carriage returns":             {nil, "10%\r20%\r\nend\r", "10%\n20%\nend\n"},
		"cursor, title, link":          {nil, "\x1b[2J\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\x1b]8;;\x1b\\\x1b(B", "ab"},
		"a sequence that never ends":   {nil, "\x1b]0;title\nthe rest\x1b[", "\nthe rest"},
		"control characters":           {nil, "a\x00\x08\x7f\u009bb", "ab"},
		"turned text":                  {nil, "destroy \u202eevas\u202c \u2066a\u2069\u061c\u200f", "destroy evas a"},
		"no width":                     {nil, "pro\u200bd\u200c\u200d\u2060\ufeff\u00ad\U000e0041 ö 世界", "prod ö 世界"},
		"line separators":              {nil, "a\u2028b\u2029c", "a\nb\nc"},
		"a secret with no width in it": {[]string{"hun\u200bter2"}, "hunter2 h\u202eunter\u200d2 hun\u200bter2", "(sensitive) (sensitive) (sensitive)"},
		"half a secret at the end":     {[]string{"hunter2"}, "hunter", "hunter"},
		"a secret inside a beginning":  {[]string{"aaab"}, "aaaaab", "aa(sensitive)"},
		"a word of the log's own kind": {[]string{"(sensitive)"}, "(sensitive)", "(sensitive)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; n <= len(c.in)+1; n++ {
				if diff := cmp.Diff(c.want, through(redact.New(c.secrets), c.in, n)); diff != "" {
					t.Fatalf("in pieces of %d (-want +got):\n%s", n, diff)
				}
			}
			if got := redact.New(c.secrets).Text(c.in); got != c.want {
				t.Errorf("Text: %q, want %q", got, c.want)
			}
		})
	}
}

func TestSecretIsFoundInsideOtherBase64(t *testing.T) {
	t.Parallel()
	const secret = "correct horse battery"
	r := redact.New([]string{secret})
	for _, text := range []string{secret, "u:" + secret, "user:" + secret, "abc" + secret + "xyz"} {
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			got := r.Text("Authorization: Basic " + e.EncodeToString([]byte(text)))
			if !strings.Contains(got, redact.Placeholder) || strings.Contains(got, "hcnNlIGJ") || strings.Contains(got, "9yc2UgYm") || strings.Contains(got, "ob3JzZSBi") {
				t.Errorf("%q: %s", text, got)
			}
		}
	}
}

func TestNoSecretComesThrough(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secrets := rapid.SliceOfN(rapid.StringMatching(`[ab"\\<]{5,12}Z`), 1, 4).Draw(t, "secrets")
		var text strings.Builder
		for range rapid.IntRange(1, 6).Draw(t, "parts") {
			text.WriteString(rapid.StringMatching(`[ab"\\< \n]{0,8}`).Draw(t, "noise"))
			s := rapid.SampledFrom(secrets).Draw(t, "secret")
			if rapid.Bool().Draw(t, "as JSON") {
				b, _ := json.Marshal(s) // a string always has a form
				s = string(b)
			}
			text.WriteString(s)
		}
		got := through(redact.New(secrets), text.String(), rapid.IntRange(1, 20).Draw(t, "piece"))
		for _, s := range secrets {
			if strings.Contains(got, s) {
				t.Fatalf("%q is in %q", s, got)
			}
		}
		if got != redact.New(secrets).Text(text.String()) {
			t.Fatal("the pieces matter")
		}
	})
}

func FuzzPiecesDoNotMatter(f *testing.F) {
	f.Add("a\x1b[31mhunter2\xff\r\n", 3)
	f.Add("\x1b]0;x\x1b\\\u009b\xc3", 1)
	f.Add("hun\u200bter2\u202e\r\u2028", 2)
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = max(1, n%64)
		secrets := []string{"hunter2", "a\nbcdefghij"}
		got := through(redact.New(secrets), text, n)
		if whole := redact.New(secrets).Text(text); got != whole {
			t.Errorf("in pieces %q, whole %q", got, whole)
		}
		if !utf8.ValidString(got) || strings.Contains(got, "hunter2") || strings.ContainsAny(got, "\x1b\r\x00\x07\u202e\u200b") {
			t.Errorf("not fit: %q", got)
		}
	})
}

func BenchmarkLog(b *testing.B) {
	secrets := make([]string, 20)
	for i := range secrets {
		secrets[i] = strings.Repeat(string(rune('a'+i)), 20) + "-secret"
	}
	line := []byte("null_resource.example[0]: Creation complete after 0s [id=8674665223082153551]\n")
	r := redact.New(secrets)
	var out []byte
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		out = r.Append(out[:0], line)
	}
}

func TestWhatIsHiddenLaterIsMaskedFromThen(t *testing.T) {
	t.Parallel()
	r := redact.New([]string{"hunter2"})
	out := r.Append(nil, []byte("swordfish "))
	out = r.Append(out, []byte("hunter2 swo")) // nothing is known of it yet
	r.Hide([]string{"swordfish", "hunter2"})
	out = r.Flush(r.Append(out, []byte("rdfish swordfish hunter2\n")))
	if diff := cmp.Diff("swordfish (sensitive) swordfish (sensitive) (sensitive)\n", string(out)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := r.Text("a swordfish"); got != "a (sensitive)" {
		t.Errorf("Text: %q", got)
	}
}
