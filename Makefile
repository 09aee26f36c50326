# Everything here needs Go, git and make, and nothing else: the programs that the
# targets use are built from pinned recipes (see internal/tool).

# cgo is never needed, and without it no C compiler is either.
export CGO_ENABLED := 0

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TOOLS   := go run ./internal/tool/cmd/reeve-tools

# For one run: make test PACKAGES=./schema/... TESTFLAGS='-run TestLoad -v'
PACKAGES  ?= ./...
TESTFLAGS ?=
BENCH     ?= .
BENCHTIME ?= 1s
COUNT     ?= 1
FUZZTIME  ?= 20s

.DEFAULT_GOAL := help
.PHONY: help build demo test test-short bench benchstat fuzz vet lint fmt fmt-check vuln generate check-generated tools clean FORCE

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: bin/reeve ## build bin/reeve

# Go knows best what is out of date. The version is stamped here, so that a build
# outside a Git repository, or in one of another owner, works as well.
bin/reeve: FORCE
	go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o $@ ./cmd/reeve

demo: bin/reeve ## start the daemon on a copy of examples/quickstart and show what it does
	bin/reeve demo

# Most tests wait for a daemon, an engine or a forge: more of them than there are CPUs
# run side by side. So do packages, since one of them takes longer than all others.
test: tools ## run every test, getting what the tests need first
	go test -timeout 60m -p 3 -parallel 4 $(TESTFLAGS) $(PACKAGES)

test-short: tools ## run the tests without the long ones
	go test -short -timeout 10m $(TESTFLAGS) $(PACKAGES)

bench: tools ## run the benchmarks (BENCH=regexp BENCHTIME=1s COUNT=1)
	go test -run '^$$' -bench '$(BENCH)' -benchtime '$(BENCHTIME)' -benchmem -count '$(COUNT)' -timeout 60m $(TESTFLAGS) $(PACKAGES)

benchstat: ## compare two outputs of make bench: make benchstat OLD=a.txt NEW=b.txt
	@test -n '$(OLD)' && test -n '$(NEW)' || { echo 'usage: make benchstat OLD=a.txt NEW=b.txt' >&2; exit 2; }
	@"$$($(TOOLS) ensure benchstat)" '$(OLD)' '$(NEW)'

fuzz: ## run every fuzz target for a while (FUZZTIME=20s each)
	@tools/fuzz '$(FUZZTIME)' $(PACKAGES)

vet: ## go vet
	go vet $(PACKAGES)

lint: ## golangci-lint, with .golangci.yml
	@program="$$($(TOOLS) ensure golangci-lint)" && "$$program" run $(PACKAGES)

fmt: ## format every Go file
	gofmt -w .

fmt-check: ## fail if a Go file is not formatted
	@files="$$(gofmt -l .)" && { test -z "$$files" || { printf 'not formatted (run: make fmt):\n%s\n' "$$files" >&2; exit 1; }; }

vuln: ## look for known vulnerabilities, if the database can be reached
	@$(TOOLS) vuln $(PACKAGES)

generate: ## make every generated file anew
	go generate ./...

check-generated: ## fail if a generated file is not what generating makes
	@tools/check-generated

tools: ## get the engine, the providers and the forge that the tests use
	@$(TOOLS) ensure tofu providers gitea pulumi pulumi-hosts >/dev/null

clean: ## remove what make made; the built tools stay (see go run ./internal/tool/cmd/reeve-tools clean)
	rm -rf bin

FORCE:
