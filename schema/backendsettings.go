package schema

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/stackreeve/stackreeve/schema/diag"
)

// credentialSettings are the settings of backends that are credentials, with the
// environment variable by which a job gets each instead.
var credentialSettings = map[string]map[string]string{
	"s3":  {"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY", "token": "AWS_SESSION_TOKEN", "sse_customer_key": "AWS_SSE_CUSTOMER_KEY"},
	"gcs": {"access_token": "GOOGLE_OAUTH_ACCESS_TOKEN", "encryption_key": "GOOGLE_ENCRYPTION_KEY"},
	"azurerm": {"access_key": "ARM_ACCESS_KEY", "sas_token": "ARM_SAS_TOKEN", "client_secret": "ARM_CLIENT_SECRET",
		"client_certificate_password": "ARM_CLIENT_CERTIFICATE_PASSWORD", "oidc_token": "ARM_OIDC_TOKEN", "oidc_request_token": "ARM_OIDC_REQUEST_TOKEN"},
	"http": {"password": "TF_HTTP_PASSWORD", "client_private_key_pem": "TF_HTTP_CLIENT_PRIVATE_KEY_PEM"},
}

// passwordWord is a password in a connection string of words.
var passwordWord = regexp.MustCompile(`(?i)(^|\s)(ssl)?password\s*=`)

// credentialSetting tells by which environment variable a job should get a setting
// that is a credential, or holds one; "" when it does not.
func credentialSetting(backend, name, text string) string {
	if env := credentialSettings[backend][name]; env != "" {
		return env
	}
	switch {
	case backend == "gcs" && name == "credentials" && strings.Contains(text, "{"): // else it names a file
		return "GOOGLE_CREDENTIALS"
	case backend == "pg" && name == "conn_str" && (holdsPassword(text) || passwordWord.MatchString(text)):
		return "PG_CONN_STR"
	case backend == "http" && strings.HasSuffix(name, "address") && holdsPassword(text):
		return "TF_HTTP_PASSWORD"
	}
	return ""
}

func holdsPassword(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return userAndPassword.MatchString(text)
	}
	if u.User == nil {
		return false
	}
	_, has := u.User.Password()
	return has
}

// backendSettings refuses credentials in the settings of a backend: they would be in
// the repository, and in the records of every job.
func (b *resourceBinder) backendSettings(typ string, config *value) {
	for i := range config.fields {
		f := &config.fields[i]
		env := credentialSetting(typ, f.key, f.val.text)
		if env == "" || f.val.text == "" {
			continue
		}
		b.hide(&f.val)
		b.fail(diag.Diagnostic{Code: diag.InvalidValue, Detail: "spec.backend.config." + f.key, Found: "a credential", Expected: "settings without credentials",
			Hint: fmt.Sprintf("give it to jobs as %s (jobs.environment in reeve.yaml), and take it out of the repository's history", env)}, f.keyAt)
	}
}
