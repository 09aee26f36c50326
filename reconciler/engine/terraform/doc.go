// Package terraform drives Terraform and OpenTofu: it is the [engine.Driver] of
// both, and finds their programs on a machine.
//
// A driver works in the stack's own folder, Task.Workspace:
//
//	root/…           the tree in which the module is seen: its own folder is real
//	                 and holds copies, everything beside it is a link into the
//	                 shared checkout, so `../sibling` works and nothing is ever
//	                 written to the checkout
//	data/            the engine's data folder (TF_DATA_DIR): providers, modules
//	init.json        what the last good init was made for
//	farm.json        which module revision root/ shows, and what in it is ours
//	backend.json     where the state is, and whether it holds resources
//
// What holds secrets while a phase runs (inputs, backend settings) is in a folder
// "engine" beside the saved plan; it is removed when the phase ends.
//
// A plan is at most three engine processes (init, plan, show), two when the last
// init still holds, one when nothing changes; an apply is one. An apply runs the
// saved plan and nothing else.
//
// Engines are run by terraform-exec with exactly the environment of the task; see
// session for the two things it cannot do by itself (a version that is known
// need not be asked for, and a process group must end as a whole).
//
// The package does not seal plans, keep journals or mask logs: the runner does, and is told
// what plan and state hold as sensitive. A saved plan carries that list behind the engine's part.
// What it puts into plans, results and events is masked here.
package terraform
