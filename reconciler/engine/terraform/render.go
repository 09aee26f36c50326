package terraform

// reasons are the engines' reasons in words; an unknown one is shown as it is.
var reasons = map[string]string{
	"replace_because_tainted":           "it is tainted",
	"replace_because_cannot_update":     "",
	"replace_by_request":                "on request",
	"replace_by_triggers":               "by replace_triggered_by",
	"delete_because_no_resource_config": "it is not in the configuration",
	"delete_because_no_module":          "its module is not in the configuration",
	"delete_because_wrong_repetition":   "its resource now uses another of count and for_each",
	"delete_because_count_index":        "its index is out of range for count",
	"delete_because_each_key":           "its key is not in for_each",
	"delete_because_no_move_target":     "it was moved to an address that is not in the configuration",
	"read_because_config_unknown":       "its configuration is known only after apply",
	"read_because_dependency_pending":   "it depends on a resource with changes pending",
	"read_because_check_nested":         "a check needs it",
}
