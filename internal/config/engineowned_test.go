package config

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-exec/tfexec"
)

// What the library that starts engines refuses must be found here first: a job
// would fail, and say so less clearly.
func TestVariablesThatEnginesRefuseAreKnown(t *testing.T) {
	t.Parallel()
	env := map[string]string{"TF_VAR_a": "", "TF_CLI_ARGS": "", "TF_CLI_ARGS_plan": "", "TF_CLI_CONFIG_FILE": "", "TF_PLUGIN_CACHE_DIR": "",
		"TF_DATA_DIR": "", "AWS_REGION": "", "TF_TOKEN_app_example_com": ""}
	for _, name := range []string{"TF_INPUT", "TF_IN_AUTOMATION", "TF_LOG", "TF_LOG_CORE", "TF_LOG_PATH", "TF_LOG_PROVIDER", "TF_REATTACH_PROVIDERS",
		"TF_APPEND_USER_AGENT", "TF_WORKSPACE", "TF_DISABLE_PLUGIN_TLS", "TF_SKIP_PROVIDER_VERIFY"} {
		env[name] = ""
	}
	refused := map[string]bool{}
	for _, name := range tfexec.ProhibitedEnv(env) {
		refused[name] = true
	}
	for name := range env {
		if EngineOwned(name) != refused[name] {
			t.Errorf("%s: EngineOwned says %v, the library refuses it: %v", name, EngineOwned(name), refused[name])
		}
	}
}

func TestAVariableOfTheEngineIsRefusedWhereItIsConfigured(t *testing.T) {
	t.Parallel()
	_, list := load(t, "jobs:\n  passEnvironment: [AWS_*, TF_VAR_region]\n  environment:\n    TF_WORKSPACE: {value: x}\n")
	got := strings.Join(short(list), "\n")
	for _, want := range []string{"reeve.yaml:2:28: error: [invalid-value]", "reeve.yaml:4:", "TF_VAR_region", "TF_WORKSPACE"} {
		if !strings.Contains(got, want) {
			t.Errorf("findings lack %q:\n%s", want, got)
		}
	}
}
