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
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}'

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
test: $(INSTALLED) test-tools lint types verify ## lint, types, drift and all tests (installs the servers and clients it needs; the first time it may build a kube-apiserver)
	@node scripts/run-tests/main.ts unit system cluster

.PHONY: test-full
test-full: $(INSTALLED) test-tools ## the tests of operator, routes and bad input at the size that is promised: some 30 minutes
	@HUBLET_TEST_SCALE=full node node_modules/vitest/vitest.mjs run --project cluster e2e/operator
	@HUBLET_TEST_SCALE=full node node_modules/vitest/vitest.mjs run --project system sidecar/kills e2e/standalone/bad-input

.PHONY: test-cluster
test-cluster: $(INSTALLED) test-tools ## only the tests against a real kube-apiserver (found, or built once: about ten minutes)
	@node node_modules/vitest/vitest.mjs run --project cluster

.PHONY: cluster-up
cluster-up: $(INSTALLED) ## a cluster to try the chart on: KUBECONFIG, else kind, else a real node (root on Linux)
	@node e2e/cluster/main.ts up

.PHONY: cluster-down
cluster-down: $(INSTALLED) ## take it down, and leave nothing
	@node e2e/cluster/main.ts down

.PHONY: cluster-shell
cluster-shell: $(INSTALLED) ## a shell that reaches pods and Services of the cluster by name
	@node e2e/cluster/main.ts exec -- $${SHELL:-sh}

.PHONY: e2e
e2e: $(INSTALLED) test-tools cluster-up ## bring a cluster up, install the chart, run the tests of installed hubs, take it down
	@code=0; node e2e/cluster/main.ts exec -- node scripts/run-tests/main.ts node || code=$$?; \
	if [ -z "$${HUBLET_KEEP_CLUSTER:-}" ]; then node e2e/cluster/main.ts down; fi; exit $$code

.PHONY: manifests
manifests: $(INSTALLED) ## write deploy/operator.yaml from the chart (builds helm where HELM names none)
	@node e2e/helm/deploy-manifest.ts

.PHONY: image
image: $(INSTALLED) ## the image of operator, brokers and routes, as an OCI archive with its SBOM in .cache/image
	@node scripts/image/main.ts

.PHONY: image-again
image-again: $(INSTALLED) ## the image, built twice: fails when the two are not the same
	@node scripts/image/main.ts --again

.PHONY: bench-routes
bench-routes: $(INSTALLED) test-tools ## what routes deliver a second to real servers on this machine
	@node bench/routes.ts

.PHONY: bench
bench: $(INSTALLED) test-tools ## side-by-side figures against mosquitto on this machine
	@node bench/run.ts
