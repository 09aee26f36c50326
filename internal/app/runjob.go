package app

import (
	"github.com/stackreeve/stackreeve/reconciler/engine"
	"github.com/stackreeve/stackreeve/reconciler/engine/pulumi"
	"github.com/stackreeve/stackreeve/reconciler/engine/runner"
	"github.com/stackreeve/stackreeve/reconciler/engine/statefile"
	"github.com/stackreeve/stackreeve/reconciler/engine/terraform"
	"github.com/stackreeve/stackreeve/schema"
)

// Drivers are the engines that a runner can drive.
func Drivers() map[schema.Provisioner]engine.Driver {
	d := terraform.New(terraform.Options{})
	return map[schema.Provisioner]engine.Driver{schema.Terraform: d, schema.OpenTofu: d, schema.Pulumi: pulumi.New(pulumi.Options{})}
}

// states look after the states that engines keep in files of the data folder.
func states() map[schema.Provisioner]engine.States {
	k := statefile.New(terraform.StateFormat{}, nil)
	return map[schema.Provisioner]engine.States{schema.Terraform: k, schema.OpenTofu: k, schema.Pulumi: statefile.New(pulumi.StateFormat{}, nil)}
}

// exports look after the backups of states that backends keep and engines put back.
func exports() map[schema.Provisioner]engine.States {
	return map[schema.Provisioner]engine.States{schema.Pulumi: statefile.New(pulumi.ExportFormat{}, nil)}
}

// RunJob is the runner: it carries out the phase in a job's folder and returns its
// exit code.
func RunJob(folder string) int { return runner.Main(folder, Drivers()) }
