// Package pulumi drives Pulumi: it is an [engine.Driver] behind which the same facts come
// out as behind Terraform's.
//
// A driver works in the stack's own folder, Task.Workspace:
//
//	root/…          the tree in which the program is seen (package farm): nothing is ever
//	                written to the checkout. Its Pulumi.yaml is ours where Task.Pulumi
//	                names another project.
//	stack.json      what was set up: where the state is, the salt and its sealed key,
//	                ciphertexts of config values, what dependencies were installed for
//	farm.json       which revision root/ shows
//
// What holds config values while a phase runs (the stack's settings, the plan, the stack
// input) is in a folder "engine" beside the saved plan; it goes when the phase ends.
//
// The four operations are one or two engine processes each way:
//
//	init      `stack init` for a new stack, `install` (of Go, `go build`) where dependencies
//	          moved, without the stack's credentials (docs/decisions/0194); else none
//	refresh   ┐ one process: `preview --refresh --save-plan`
//	plan      ┘
//	apply     one process: `up --plan`
//	destroy   the same two, of the empty program (docs/decisions/0182)
//
// Pulumi is run through its Automation API, whose PulumiCommand is ours (command): it
// gives exactly the environment of the task, ends a process group as a whole, and answers
// without a process what is known already.
//
// Events become a stackjob.Plan by functions of values (convert), as do digests (form).
//
// The package does not seal plans, keep journals or mask logs: the runner does. What it
// puts into plans, results and events is masked here.
package pulumi
