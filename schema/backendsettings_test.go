package schema_test

import (
	"strings"
	"testing"

	"github.com/stackreeve/stackreeve/schema/diag"
	"github.com/stackreeve/stackreeve/schema/schematest"
)

// TestCredentialsOfABackendDoNotBelongInTheRepository loads stacks whose backend has
// one. It is refused with the way to give it, and shown nowhere.
func TestCredentialsOfABackendDoNotBelongInTheRepository(t *testing.T) {
	t.Parallel()
	for backend, env := range map[string]string{
		"{type: s3, config: {bucket: b, secret_key: canary}}":                            "AWS_SECRET_ACCESS_KEY",
		"{type: s3, config: {bucket: b, access_key: canary}}":                            "AWS_ACCESS_KEY_ID",
		"{type: azurerm, config: {sas_token: canary}}":                                   "ARM_SAS_TOKEN",
		"{type: gcs, config: {credentials: '{\"private_key\": \"canary\"}'}}":            "GOOGLE_CREDENTIALS",
		"{type: http, config: {address: 'https://h/x', password: canary}}":               "TF_HTTP_PASSWORD",
		"{type: http, config: {lock_address: 'https://reeve:canary@h/x'}}":               "TF_HTTP_PASSWORD",
		"{type: pg, config: {conn_str: 'postgres://reeve:canary@h/d'}}":                  "PG_CONN_STR",
		"{type: pg, config: {conn_str: 'postgres://reeve:canary@h:port/d'}}":             "PG_CONN_STR",
		"{type: pg, config: {conn_str: 'host=h user=reeve password = canary'}}":          "PG_CONN_STR",
		"{type: pg, config: {conn_str: 'postgres://reeve@h/d', schema_name: s}}":         "",
		"{type: pg, config: {conn_str: 'host=h user=reeve'}}":                            "",
		"{type: gcs, config: {bucket: b, credentials: /run/secrets/gcp.json}}":           "",
		"{type: http, config: {address: 'https://h/x', username: reeve}}":                "",
		"{type: s3, config: {bucket: b, key: k, region: eu-west-1, use_lockfile: true}}": "",
	} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			doc := strings.Replace(schematest.Stack("s", "."), "spec:", "spec:\n  backend: "+backend, 1)
			list := schematest.LoadAny(t, map[string]string{"acme/dev/s.yaml": doc}).Diagnostics()
			text := diag.Text(list, diag.TextOptions{})
			if env == "" {
				if strings.Contains(text, "credential") {
					t.Errorf("it was refused:\n%s", text)
				}
				return
			}
			if !strings.Contains(text, "invalid-value") || !strings.Contains(text, env) {
				t.Errorf("expected a hint at %s:\n%s", env, text)
			}
			if out := string(diag.JSON(list)) + text; strings.Contains(out, "canary") {
				t.Errorf("the credential is shown:\n%s", out)
			}
		})
	}
}
