# Every command a contributor needs. `make help` prints this list.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# The pinned Node 24 comes from the npm package `node`; the machine only has to bring npm.
# Go's own place comes last: its installer leaves it to the user to put it into PATH.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH):/usr/local/go/bin

MANIFESTS ?= examples/quickstart
INSTALLED := node_modules/.installed

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}'

$(INSTALLED): package.json package-lock.json
	@command -v npm >/dev/null || { echo 'hublet: npm is needed (any version from 10 on): it brings Node 24 and everything else' >&2; exit 1; }
# Not `npm ci`: it refuses the lock wherever an optional package for some other platform can't be had, and
# every direct dependency is pinned exactly in package.json anyway.
	@npm install --loglevel=error
	@touch $@

.PHONY: install
install: $(INSTALLED) ## install the pinned Node and the libraries into node_modules

.PHONY: run
run: $(INSTALLED) ## start the hubs of MANIFESTS (default examples/quickstart) on this machine, no cluster needed
	@exec node cli/main.ts dev -f $(MANIFESTS)

.PHONY: lint
lint: $(INSTALLED) ## check style and correctness rules, and formatting
	@biome check --error-on-warnings .

.PHONY: fmt
fmt: $(INSTALLED) ## format and fix what can be fixed
	@biome check --write .

.PHONY: types
types: $(INSTALLED) ## type-check everything
	@tsc

.PHONY: generate
generate: $(INSTALLED) ## write the CRDs, the field tables, the rights of the operator and the values of the chart
	@node crds/generate.ts
	@node operator/generate.ts
	@node charts/generate.ts

.PHONY: verify
verify: $(INSTALLED) ## fail when a generated file is not what its source says
	@node crds/generate.ts --check
	@node operator/generate.ts --check
	@node charts/generate.ts --check

.PHONY: test-tools
test-tools:
	@scripts/test-tools.sh

.PHONY: unit
unit: $(INSTALLED) ## the tests that start no other program
	@node node_modules/vitest/vitest.mjs run --project unit

.PHONY: test
test: $(INSTALLED) test-tools lint types verify ## lint, types, drift and all tests but those of a cluster (installs the real servers and clients it needs)
	@node node_modules/vitest/vitest.mjs run --project unit --project system

.PHONY: test-full
test-full: $(INSTALLED) test-tools ## the tests of the operator at the size that is promised: some 15 minutes
	@HUBLET_TEST_SCALE=full node node_modules/vitest/vitest.mjs run --project cluster e2e/operator

.PHONY: test-cluster
test-cluster: $(INSTALLED) test-tools ## the tests against a real kube-apiserver (found, or built once: about ten minutes)
	@node node_modules/vitest/vitest.mjs run --project cluster

.PHONY: manifests
manifests: $(INSTALLED) ## write deploy/operator.yaml from the chart (builds helm where HELM names none)
	@node e2e/helm/deploy-manifest.ts

.PHONY: image
image: $(INSTALLED) ## the image of operator, brokers and routes, as an OCI archive with its SBOM in .cache/image
	@node scripts/image/main.ts

.PHONY: bench
bench: $(INSTALLED) test-tools ## side-by-side figures against mosquitto on this machine
	@node bench/run.ts
