// Package config is the daemon's own configuration: the file reeve.yaml, the
// REEVE_… environment variables and the command line's flags, read strictly into
// one [Config].
//
//	built-in value < reeve.yaml < environment < flag
//
// A value is named by its path, and the path gives all its names: jobs.parallel
// in the file is REEVE_JOBS_PARALLEL in the environment. Every mistake is a
// [diag.Diagnostic] with the place it stands at, be that a line of the file, a
// variable or a flag; all of them are reported at once, and a configuration with
// an error is not used. [Watch] reads the file again when it changes and lets
// only good ones through.
//
// Secrets are never in the configuration: it names an environment variable or a
// file ([SecretSource]). The JSON Schema and docs/configuration.md are generated
// from the comments in this file.
package config

// Config is what a daemon is told. The zero value is not usable: take one from
// Load, which fills in what was not said.
type Config struct {
	// The folder in which the daemon keeps everything: database, mirrors, states, logs and its key. Created with mode 0700. Taking effect needs a restart.
	DataDir string `json:"dataDir,omitempty" default:"$XDG_DATA_HOME/reeve, or ~/.local/share/reeve; /var/lib/reeve for root"`
	// The address of the HTTP listener, as host:port. Port 0 takes a free one. An address that is not loopback needs at least one token. Taking effect needs a restart.
	Listen string `json:"listen,omitempty" default:"127.0.0.1:7468"`
	// The unix socket over which the command line on the same machine talks to the daemon; who calls is known by the operating system. Taking effect needs a restart.
	Socket string `json:"socket,omitempty" default:"<dataDir>/reeve.sock"`
	// The operating system group whose members may use the socket and act through it, besides root and the daemon's own user. Empty: nobody else. Its members must be able to reach the socket's folder. Taking effect needs a restart.
	SocketGroup string `json:"socketGroup,omitempty"`
	// Names under which the HTTP listener may be addressed, beside loopback names and the address it listens on: the host names of a reverse proxy. Requests for other hosts are refused.
	AllowedHosts []string `json:"allowedHosts,omitempty"`
	// The bearer tokens that are accepted over HTTP.
	Tokens []Token `json:"tokens,omitempty"`
	// The config repositories to reconcile.
	Repositories []Repository `json:"repositories,omitempty"`
	// The infrastructure engines.
	Engine Engine `json:"engine,omitzero"`
	// How Stack Jobs are run.
	Jobs Jobs `json:"jobs,omitzero"`
	// The brake on mass deletion: when more than this would be destroyed at once, a person must look first.
	Brake Brake `json:"brake,omitzero"`
	// The daemon's own log, written to standard error.
	Log Log `json:"log,omitzero"`

	// File is the file that was read; "" when there was none.
	File string `json:"-"`
	// Digest identifies the text of that file; "" when there was none.
	Digest string `json:"-"`
}

// Token is a bearer token: who it stands for, and what it allows.
type Token struct {
	// Whom the token stands for: the name that approvals and the audit record show.
	Name string `json:"name" required:"true"`
	// Where the token's text is, at least 16 characters.
	ValueFrom SecretSource `json:"valueFrom" required:"true"`
	// What the token allows: "read" shows, "write" also approves, rejects, cancels, reruns and polls.
	Role Role `json:"role,omitempty" default:"read"`
}

// SecretSource says where a secret is. Exactly one field is set.
type SecretSource struct {
	// The name of an environment variable of the daemon that holds the secret.
	Env string `json:"env,omitempty"`
	// The path of a file that holds the secret. White space at its end is dropped.
	File string `json:"file,omitempty"`
}

// Repository is one config repository.
type Repository struct {
	// The name under which it is shown and addressed.
	Name string `json:"name,omitempty" default:"the last part of the URL or path"`
	// The Git URL: https, http, ssh, git@host:path or file. Credentials never stand in it.
	URL string `json:"url,omitempty"`
	// A local folder, instead of a URL: a Git repository, a working copy or any folder.
	Path string `json:"path,omitempty"`
	// For a path: "committed" reconciles what is committed on the branch, "worktree" the files as they are.
	Mode Mode `json:"mode,omitempty" default:"committed"`
	// The branch that is followed.
	Branch string `json:"branch,omitempty" default:"the remote's default branch"`
	// How often the remote is asked for something new.
	PollInterval Duration `json:"pollInterval,omitempty" default:"1m"`
	// How long one exchange with the remote may take.
	Timeout Duration `json:"timeout,omitempty" default:"2m"`
	// How the daemon identifies itself to the remote, and the remote to the daemon.
	Credentials Credentials `json:"credentials,omitzero"`
	// The forge on which the repository's pull requests are. Without it only the branch is followed.
	Forge Forge `json:"forge,omitzero"`
}

// Forge is where the pull requests of one repository are.
type Forge struct {
	// The program that the forge runs: "github", "gitlab", or "gitea" for Forgejo too.
	Kind ForgeKind `json:"kind,omitempty" default:"by the host of the URL for github.com, gitlab.com, gitea.com and codeberg.org"`
	// The address of the forge, when it is another than the one in the repository's URL.
	URL string `json:"url,omitempty" default:"scheme and host of the repository's URL"`
	// The repository on the forge: "owner/name", or a GitLab project's whole path.
	Repository string `json:"repository,omitempty" default:"the path of the repository's URL"`
	// The token of the account that comments: with the right to write to the repository.
	Token SecretSource `json:"token,omitzero"`
	// The GitHub App that comments, instead of a token.
	App GitHubApp `json:"app,omitzero"`
	// The secret with which webhooks are signed. Without it no webhook is accepted, and pull requests are found by polling alone.
	WebhookSecret SecretSource `json:"webhookSecret,omitzero"`
	// The secret that was used before, accepted while webhooks are changed to the new one. A file that is not there yet is none.
	PreviousWebhookSecret SecretSource `json:"previousWebhookSecret,omitzero"`
	// How often the open pull requests are listed.
	PollInterval Duration `json:"pollInterval,omitempty" default:"1m"`
}

// GitHubApp is a GitHub App's identity.
type GitHubApp struct {
	// The App's id or client id.
	ID string `json:"id,omitempty"`
	// The private key that GitHub gave out for it, as PEM.
	PrivateKey SecretSource `json:"privateKey,omitzero"`
}

// Credentials are for one repository, all by reference.
type Credentials struct {
	// A token or password for https.
	Token SecretSource `json:"token,omitzero"`
	// The user name that goes with the token.
	Username string `json:"username,omitempty" default:"git"`
	// A private key for ssh.
	SSHKey SSHKey `json:"sshKey,omitzero"`
	// The known_hosts file that ssh host keys are checked against.
	KnownHosts string `json:"knownHosts,omitempty" default:"~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts"`
	// A PEM file of certificate authorities that https servers may be signed by, beside the system's.
	CAFile string `json:"caFile,omitempty"`
}

// SSHKey is a private key and what opens it.
type SSHKey struct {
	// The path of the private key.
	File string `json:"file,omitempty"`
	// The key's passphrase, when it has one.
	Passphrase SecretSource `json:"passphrase,omitzero"`
}

// Engine says which programs carry out plans and applies.
type Engine struct {
	// The engine of stacks for which the repository names none: "terraform" or "tofu".
	Default EngineName `json:"default,omitempty" default:"the one that is installed; terraform when both are"`
	// The path of the Terraform program that is preferred: of the others it is the newest that the stack's constraint allows, be it in a folder below, installed by reeve or on PATH.
	Terraform string `json:"terraform,omitempty" default:"the newest that is found"`
	// The path of the OpenTofu program that is preferred.
	Tofu string `json:"tofu,omitempty" default:"the newest that is found"`
	// The path of the Pulumi program that is preferred.
	Pulumi string `json:"pulumi,omitempty" default:"the newest that is found"`
	// Folders in which engines are, beside those of PATH: programs called terraform, tofu and pulumi.
	Folders []string `json:"folders,omitempty"`
	// Where "reeve engine install" gets engines from.
	Mirrors Mirrors `json:"mirrors,omitzero"`
	// Whether providers are downloaded once and shared by all stacks.
	PluginCache bool `json:"pluginCache,omitempty" default:"true"`
	// A Terraform CLI configuration file (provider mirrors, registry credentials) that every job uses.
	CLIConfig string `json:"cliConfig,omitempty"`
}

// Mirrors are addresses, http or https, below which engines are, laid out as at their makers'. Checksums are checked all the same, and the signatures of Terraform's and OpenTofu's. A redirect from https to http is refused.
type Mirrors struct {
	// For Terraform, laid out as releases.hashicorp.com: MIRROR/terraform/index.json, MIRROR/terraform/1.11.4/….
	Terraform string `json:"terraform,omitempty" default:"https://releases.hashicorp.com"`
	// For OpenTofu: MIRROR/api.json as get.opentofu.org/tofu/api.json, and releases as MIRROR/v1.12.6/tofu_1.12.6_linux_amd64.tar.gz with their checksums and signature.
	Tofu string `json:"tofu,omitempty" default:"https://get.opentofu.org/tofu for the versions, https://github.com/opentofu/opentofu/releases/download for the archives"`
	// For Pulumi: MIRROR/pulumi-v3.230.0-linux-x64.tar.gz, MIRROR/pulumi-3.230.0-checksums.txt, and MIRROR/versions.json: a list of version numbers. Its signatures are not checked: the address is trusted.
	Pulumi string `json:"pulumi,omitempty" default:"https://get.pulumi.com/releases/sdk, https://www.pulumi.com/latest-version for the newest version, and https://api.github.com/repos/pulumi/pulumi/releases for those that a constraint fits"`
}

// Jobs says how Stack Jobs are run.
type Jobs struct {
	// How many jobs may run an engine at once.
	Parallel int `json:"parallel,omitempty" default:"the number of CPUs, at least 2"`
	// How long each operation may take before it is stopped. 0 means no limit.
	Timeouts Timeouts `json:"timeouts,omitzero"`
	// How long an interrupted engine may take to stop by itself before it is killed.
	Grace Duration `json:"grace,omitempty" default:"2m"`
	// How long a job waits for a person before it expires. 0 means for ever.
	ApprovalExpiry Duration `json:"approvalExpiry,omitempty" default:"168h"`
	// Variables of the daemon's environment that jobs get too: names, or globs such as AWS_*. Nothing else is passed on.
	PassEnvironment []string `json:"passEnvironment,omitempty"`
	// Variables that every job gets, by name. Where there is much memory, engines also get GOGC=300 unless it is set here.
	Environment map[string]Variable `json:"environment,omitempty"`
	// Resource limits of one job.
	Limits Limits `json:"limits,omitzero"`
	// How long ended jobs and their logs are kept.
	Retention Retention `json:"retention,omitzero"`
}

// Timeouts are per operation.
type Timeouts struct {
	// Of init: getting modules and providers.
	Init Duration `json:"init,omitempty" default:"10m"`
	// Of plan, with its refresh.
	Plan Duration `json:"plan,omitempty" default:"30m"`
	// Of apply and destroy.
	Apply Duration `json:"apply,omitempty" default:"2h"`
}

// Variable is the value of an environment variable of jobs. Exactly one field is set.
type Variable struct {
	// The value itself, for what is no secret.
	Value string `json:"value,omitempty"`
	// The name of a variable of the daemon's environment that holds the value; it is masked in logs.
	Env string `json:"env,omitempty"`
	// The path of a file that holds the value; it is masked in logs.
	File string `json:"file,omitempty"`
}

// Limits are the resource limits of one job; 0 means none.
type Limits struct {
	// The largest log that is kept of one job.
	Log Size `json:"log,omitempty" default:"64MiB"`
	// How many files the processes may each have open.
	OpenFiles uint64 `json:"openFiles,omitempty" default:"0"`
	// How many processes and threads the job's user may have.
	Processes uint64 `json:"processes,omitempty" default:"0"`
	// How much address space each process may have.
	Memory Size `json:"memory,omitempty" default:"0"`
	// The largest file that a process may write.
	FileSize Size `json:"fileSize,omitempty" default:"0"`
}

// Retention says what is kept of ended jobs. The newest job of a stack is always kept.
type Retention struct {
	// Ended jobs older than this are removed. 0 means never.
	Age Duration `json:"age,omitempty" default:"2160h"`
	// How many ended jobs of each stack are kept whatever their age.
	Keep int `json:"keep,omitempty" default:"20"`
}

// Brake is the brake on mass deletion.
type Brake struct {
	// More removals than this at once, in all environments of a repository together, wait for a person.
	Count int `json:"count,omitempty" default:"10"`
	// Removals of more than this share of an environment's resources wait for a person: "30%" or 0.3. A single removal is never held for its share. "100%" turns this part off.
	Share Share `json:"share,omitempty" default:"30%"`
}

// Log is the daemon's own log.
type Log struct {
	// The least severe lines that are written: "debug", "info", "warn" or "error".
	Level Level `json:"level,omitempty" default:"info"`
	// "text" for people, "json" for programs.
	Format Format `json:"format,omitempty" default:"text"`
}
