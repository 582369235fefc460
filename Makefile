# Everyday commands. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

MODULE   := github.com/clientevents/clientevents
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS  := -X $(MODULE)/internal/version.number=$(VERSION) -X $(MODULE)/internal/version.commit=$(COMMIT)
# The tools' versions are those of tools/go.mod.
TOOL     := go tool -modfile=$(CURDIR)/tools/go.mod
# Every module of the repository, and those of them that hold code.
MODULES  := $(patsubst %/go.mod,%,$(filter-out go.mod,$(shell git ls-files --cached --others --exclude-standard '*go.mod')))
CODE     := . $(filter-out tools tools/%,$(MODULES))

FUZZTIME ?= 30s
BENCH    ?= .
COUNT    ?= 6
PORT     ?= 0
ARGS     ?=

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the programs into bin/
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: demo
demo: ## run the whole pipeline in one process (ARGS='--events 10000')
	go run ./cmd/clientevents demo $(ARGS)

.PHONY: test
test: ## run the tests; they need neither Kafka nor a network
	go test ./...

.PHONY: race
race: ## run the tests with the race detector, in random order, the long ones in short
	go test -race -short -shuffle=on ./...

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@for package in $$(git grep -l --untracked '^func Fuzz' -- '*_test.go' | xargs -r -n 1 dirname | sort -u); do \
		targets=$$(go test -list '^Fuzz' "./$$package"); \
		for target in $$(grep '^Fuzz' <<<"$$targets"); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$package"; \
		done; \
	done

.PHONY: bench
bench: ## run the benchmarks once, then measure beside the alternatives (10 minutes), into docs/performance.md
	$(MAKE) bench-go COUNT=1 ARGS='-benchtime 100ms'
	cd bench && go run . -rounds $(or $(ROUNDS),5) -update ../docs/performance.md $(ARGS)

.PHONY: bench-go
bench-go: ## run the benchmarks COUNT (6) times each, into bench.txt; BENCH=pattern selects
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(ARGS) ./... | tee bench.txt

.PHONY: bench-scale
bench-scale: ## measure how cost and memory go with partitions, replicas, ids and backlog, into docs/performance.md
	cd bench && go run . -parts links,scale -rounds 3 -update ../docs/performance.md -plots ../docs $(ARGS)

.PHONY: pgo
pgo: ## profile the program under load anew, for the profile-guided optimisation of releases
	cd bench && go run . -parts profile -profile ../cmd/clientevents/release.pgo $(ARGS)

.PHONY: bench-compare
bench-compare: ## compare OLD=old.txt with bench.txt
	$(TOOL) benchstat $(OLD) bench.txt

.PHONY: bin/kafka
bin/kafka:
	go build -o $@ ./internal/kafkatest/cmd/kafka

.PHONY: kafka
kafka: bin/kafka ## run a real Kafka broker on a loopback port (PORT=9092) until Ctrl-C; needs Java 17
	exec bin/kafka serve -port $(PORT) $(ARGS)

# Only these packages' tests ask for a real broker. With -short they leave out what they
# do with an embedded one.
KAFKA_PACKAGES = $$(git grep -lE --untracked 'kafkatest\.(Each|Real)' -- '*_test.go' | xargs -n 1 dirname | sort -u | sed 's|^|./|')

.PHONY: kafka-test
kafka-test: bin/kafka ## run the Kafka tests against KAFKA_BROKERS, or a broker started for them
	@packages="$(KAFKA_PACKAGES)"; \
	test -n "$$packages" || { echo "no package tests against Kafka" >&2; exit 1; }; \
	tests=(go test -count=1 -p 1 -short -timeout 20m $(ARGS) $$packages); \
	if [ -n "$${KAFKA_BROKERS:-}" ]; then "$${tests[@]}"; else bin/kafka run -- "$${tests[@]}"; fi

.PHONY: bin/chaos
bin/chaos:
	go build -o $@ ./internal/chaos

.PHONY: chaos
chaos: bin/chaos ## put real processes through kills, freezes and restarts (RECORDS=50000 KILLS=10 REBALANCES=10 FREEZES=2 RESTARTS=2 OUTAGES=8)
	bin/chaos -records $(or $(RECORDS),50000) -kills $(or $(KILLS),10) -rebalances $(or $(REBALANCES),10) \
		-freezes $(or $(FREEZES),2) -restarts $(or $(RESTARTS),2) -outages $(or $(OUTAGES),8) $(ARGS)

.PHONY: chaos-short
chaos-short: bin/chaos ## the same in about three minutes
	bin/chaos -records 20000 -kills 6 -rebalances 6 -freezes 1 -restarts 1 -outages 3 $(ARGS)

.PHONY: chaos-backlog
chaos-backlog: bin/chaos ## let BACKLOG (1000000) records pile up behind an API that hangs, and watch a replica's memory (CODECS='none zstd')
	for codec in $(or $(CODECS),none zstd); do bin/chaos -backlog $(or $(BACKLOG),1000000) -codec $$codec $(ARGS); done

.PHONY: upgrade
upgrade: bin/chaos ## roll from FROM (the last release, or the commit before) to this and back, under traffic and with live state
	bin/chaos -records 6000 -upgrade $(or $(FROM),previous) $(ARGS)

.PHONY: simulate
simulate: ## simulate misfortune with SEEDS (100) seeds of each kind
	go test ./internal/simulation -count=1 -timeout 60m -v -seeds $(or $(SEEDS),100) | grep -vE '^ *(=== |--- PASS|simulation_test)'

.PHONY: conformance
conformance: ## hold reporter and emulator to Google's definitions and clients; needs Node 20 and Python 3
	cd conformance/node && npm ci --silent
	cd conformance/python && python3 -m venv .venv && .venv/bin/pip install --quiet --requirement requirements.txt
	cd conformance && CONFORMANCE=all go test -count=1 $(ARGS) ./...

.PHONY: browser-test
browser-test: ## look at the pages with Chromium
	cd internal/browsertest && go test -count=1 $(ARGS) ./...

.PHONY: screenshots
screenshots: ## the same, and take the pictures in docs/images anew
	cd internal/browsertest && BROWSER_REQUIRED=1 go test -count=1 ./... -args -screenshots $(CURDIR)/docs/images

# In every module that holds code.
define in_modules
@for module in $(CODE); do (cd $$module && $(1)) || exit 1; done
endef

.PHONY: producers-test
producers-test: ## run the programs of docs/producers.md; needs Java 17, Maven, Python 3 and Node 20
	cd docs/producers/java && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib
	cd docs/producers/python && python3 -m venv .venv && .venv/bin/pip install --quiet --requirement requirements.txt
	cd docs/producers/node && npm ci --silent
	PRODUCERS=all go test -count=1 -run '^TestProducers$$' $(ARGS) ./cmd/clientevents

.PHONY: deploy-check
deploy-check: rules-check dashboards-check ## check deploy/ and the workflows: chart, manifests, image, compose; and that each check finds a planted fault
	cd deploy/check && go test -count=1 -timeout 20m ./... $(ARGS)

.PHONY: mutants
mutants: ## put known bugs back, one at a time, and require a test to fail (ARGS='-only latest')
	go run ./internal/mutants $(ARGS)

# What is checked with Prometheus's own tools is in a module of its own. A test that
# lacks them says NOT RUN, which is no pass here.
define monitoring_test
@mkdir -p bin
@cd deploy/tests && go test -count=1 -timeout 10m -parallel 4 -v -run '$(1)' ./... $(ARGS) >$(CURDIR)/bin/monitoring.log 2>&1 || { cat $(CURDIR)/bin/monitoring.log; exit 1; }
@grep -E '^ *--- |^ok|NOT RUN' bin/monitoring.log; ! grep -q 'NOT RUN' bin/monitoring.log
endef

.PHONY: rules-check
rules-check: ## check the alerts: promtool, a test of each, a section of the runbook for each
	$(call monitoring_test,Rule|Alert|Runbook)

.PHONY: dashboards
dashboards: ## write the dashboards' JSON into deploy/grafana
	go run ./deploy/grafana

.PHONY: dashboards-check
dashboards-check: ## check the dashboards, and that each panel shows something in a real Prometheus
	$(call monitoring_test,Dashboard)

.PHONY: dashboard-pictures
dashboard-pictures: ## the same, and draw what they showed into docs/images
	cd deploy/tests && go test -count=1 -v -run DashboardsShow ./... -args -pictures $(CURDIR)/docs/images

.PHONY: fault-drill
fault-drill: ## break one thing after the other, and see alerts and status tell of it in time
	$(call monitoring_test,FaultDrill|Scaled)

.PHONY: lint
lint: ## run golangci-lint, as configured in .golangci.yml
	$(call in_modules,$(TOOL) golangci-lint run --config $(CURDIR)/.golangci.yml ./...)

.PHONY: fmt
fmt: ## format the code
	$(call in_modules,$(TOOL) golangci-lint fmt --config $(CURDIR)/.golangci.yml ./...)

.PHONY: fix
fix: ## repair what the linters can repair by themselves
	$(call in_modules,$(TOOL) golangci-lint run --config $(CURDIR)/.golangci.yml --fix ./...)

.PHONY: vuln
vuln: ## look for known vulnerabilities in what is used
	$(TOOL) govulncheck ./...

.PHONY: tidy
tidy: ## tidy every go.mod
	@for module in . $(MODULES); do (cd $$module && go mod tidy) || exit 1; done

.PHONY: tidy-check
tidy-check: ## say what tidy would change
	@for module in . $(MODULES); do (cd $$module && go mod tidy -diff) || exit 1; done

.PHONY: check
check: ## what a change must pass: build, vet, format, tidy, lint, race
	go build ./...
	go vet ./...
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
		test -z "$$unformatted" || { echo "not formatted, see 'make fmt':"; echo "$$unformatted"; exit 1; }
	$(MAKE) tidy-check lint race

# Without a remote, goreleaser stamps "none" as the commit.
HOME_URL := https://$(MODULE)

.PHONY: release-snapshot
release-snapshot: ## build what a release would hold, without a signature, into dist/, and look at it; builds goreleaser and syft first
	GOBIN=$(CURDIR)/bin go install github.com/goreleaser/goreleaser/v2@v2.15.4
	GOBIN=$(CURDIR)/bin go install github.com/anchore/syft/cmd/syft@v1.54.1
	PATH=$(CURDIR)/bin:$$PATH bin/goreleaser check
	git remote get-url origin >/dev/null 2>&1 || \
		export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=remote.origin.url GIT_CONFIG_VALUE_0=$(HOME_URL); \
	PATH=$(CURDIR)/bin:$$PATH bin/goreleaser release --snapshot --clean --skip=sign
	$(MAKE) release-check

.PHONY: release-check
release-check: ## look at what is in dist/: archives, stamps, bills of materials, checksums
	cd deploy/check && DIST=$(CURDIR)/dist go test -count=1 -run '^TestDist$$' .

.PHONY: ci
ci: ## everything that CI runs
	.ci/run

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist bench.txt
