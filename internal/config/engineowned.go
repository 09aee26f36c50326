package config

import (
	"slices"
	"strings"
)

// EngineOwned tells whether a variable belongs between the daemon and its engine: a
// job must not get it from outside, for it would change what is planned, where
// the log goes, or how the engine answers. Inputs are in the manifest.
func EngineOwned(name string) bool {
	return strings.HasPrefix(name, "TF_VAR_") || strings.HasPrefix(name, "TF_CLI_ARGS") || slices.Contains([]string{
		"TF_INPUT", "TF_IN_AUTOMATION", "TF_LOG", "TF_LOG_CORE", "TF_LOG_PATH", "TF_LOG_PROVIDER", "TF_REATTACH_PROVIDERS",
		"TF_APPEND_USER_AGENT", "TF_WORKSPACE", "TF_DISABLE_PLUGIN_TLS", "TF_SKIP_PROVIDER_VERIFY"}, name)
}
