# make help lists what there is. Everything works without make too: the scripts
# and commands are short.
GO ?= go
TAGS ?= nomsgpack
FUZZTIME ?= 10m
KILLS ?= 500

.DEFAULT_GOAL := help
.PHONY: help build run demo test quick lint bench fuzz kill container clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## build bin/tocsin as it is shipped: static, with its version
	scripts/build bin/tocsin

run: ## build and serve on 127.0.0.1:9095, state in ./data
	CGO_ENABLED=0 $(GO) run -tags $(TAGS) ./cmd/tocsin serve

demo: ## play a bad day and show the incidents it becomes
	CGO_ENABLED=0 $(GO) run -tags $(TAGS) ./cmd/tocsin demo

test: ## every check; installs the Debian packages that it needs
	scripts/test

quick: ## the checks of a minute: formatting, vet, tests without the race detector
	scripts/test --quick

lint: ## golangci-lint, with the import rules (fetches many modules the first time)
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run ./...

bench: build ## measure alerts/s, CPU and memory, beside a bare handler and Alertmanager
	bin/tocsin bench

fuzz: ## every fuzz target in turn, FUZZTIME each (default 10m)
	scripts/fuzz $(FUZZTIME)

kill: ## kill -9 the gateway KILLS times under load (default 500) and compare with a ledger
	$(GO) test -tags $(TAGS) ./e2e -run '^TestKill$$' -v -count=1 -kills $(KILLS) -timeout 24h

container: ## run the shipped binary as the container does, without a container engine (root)
	scripts/check-container

clean: ## remove what was built; ./data stays
	rm -rf bin
