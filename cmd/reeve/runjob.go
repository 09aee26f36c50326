package main

import "github.com/stackreeve/stackreeve/internal/app"

// runJob is what a daemon starts this binary for: the engine's parent.
func runJob(folder string) int { return app.RunJob(folder) }
