// Package runner starts jobs' phases in processes of their own, which outlive the
// daemon, and finds them again.
//
// It has two sides. The daemon's is the [Launcher], the implementation of
// [engine.Launcher]; the other is [Main], which is all that `reeve run-job FOLDER`
// does. They talk through the files of the folder alone (see package engine):
//
//	launcher                              runner
//	makes FOLDER, task.json and lock
//	starts it, lock held and handed on ─▶ reads task.json
//	                                      journals runner-started
//	tails journal.jsonl  ◀──────────────  runs the driver: journal, log
//	reads result.json    ◀──────────────  writes result.json
//	                                      kills what is left, removes what is secret
//	                                      journals runner-ended, ends: lock is free
//
// The lock is taken by the launcher and inherited by the runner, so there is no
// moment at which a runner lives and the lock is free: a free lock without a result
// means that the runner was killed. A runner that was started otherwise takes the
// lock itself, and ends at once when the folder was given up before.
//
// A runner may be started ahead of its work: a spare gets its folder and the lock
// over a socket, and from then on is like any other (spare.go).
//
// Order is what makes it safe. That an operation starts is on the disk before its
// engine starts; the result is on the disk before anything is tidied up; a folder
// is marked as abandoned before its leftovers are killed.
//
// Read process.go first, then launcher.go and run.go. The package does not know
// what an engine is; drivers do. It decides nothing about what a lost phase means
// for a job.
package runner
