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

##@ Start here

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the programs into bin/
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: demo
demo: ## run the whole pipeline in one process (ARGS='--events 10000')
	go run ./cmd/clientevents demo $(ARGS)

##@ Tests without services

.PHONY: test
test: ## run the tests; no Kafka, no network
	go test ./...

.PHONY: race
race: ## run the tests with the race detector, in random order
	go test -race -short -shuffle=on ./...

# The end of the time may itself be reported as a failure, without an input that fails
# (golang/go#75804). A package's test is built once for all its targets, as `go test -fuzz`
# builds it for each.
.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@mkdir -p bin; \
	for package in $$(git grep -l --untracked '^func Fuzz' -- '*_test.go' | xargs -r -n 1 dirname | sort -u); do \
		go test -c -fuzz . -o bin/fuzz.test "./$$package"; \
		cache=$$(go env GOCACHE)/fuzz/$(MODULE)/$$package; \
		for target in $$(cd "$$package" && $(CURDIR)/bin/fuzz.test -test.list '^Fuzz'); do \
			echo "$$package $$target"; \
			(cd "$$package" && $(CURDIR)/bin/fuzz.test -test.run '^$$' -test.fuzz "^$$target\$$" -test.fuzztime $(FUZZTIME) -test.fuzzcachedir "$$cache") | tee bin/fuzz.out || \
				{ grep -qx ' *context deadline exceeded' bin/fuzz.out && ! grep -q 'Failing input' bin/fuzz.out; } || exit 1; \
		done; \
	done

.PHONY: mutants
mutants: ## put known bugs back; each must fail a test (ARGS='-only latest')
	go run ./test/mutants $(ARGS)

.PHONY: emulator-million
emulator-million: ## send the emulator a million events over REST and gRPC; its memory must be constant
	cd emulator/grpc && EMULATOR_REQUESTS=$(or $(REQUESTS),1000000) go test -count=1 -timeout 60m -run '^TestMemoryIsConstant$$' -v $(ARGS) .

##@ Benchmarks

.PHONY: bench
bench: ## build the alternatives, measure against them, into docs/performance.md (45 minutes)
	$(MAKE) bench-go COUNT=1 ARGS='-benchtime 100ms'
	cd bench && go run . -rounds $(or $(ROUNDS),3) -update ../docs/performance.md -plots ../docs $(ARGS)

.PHONY: bench-go
bench-go: ## run the Go benchmarks COUNT (6) times, into bench.txt (BENCH=pattern)
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(ARGS) ./... | tee bench.txt

.PHONY: bench-scale
bench-scale: ## measure cost by partitions, replicas, IDs and backlog, into docs/performance.md
	cd bench && go run . -parts links,scale -rounds 3 -update ../docs/performance.md -plots ../docs $(ARGS)

.PHONY: pgo
pgo: ## profile the program under load, for the releases' optimization
	cd bench && go run . -parts profile -profile ../cmd/clientevents/release.pgo $(ARGS)

.PHONY: bench-gate
bench-gate: ## compare what each stage allocates with the last release
	go run ./test/benchgate $(ARGS)

.PHONY: bench-compare
bench-compare: ## compare OLD=old.txt with bench.txt
	$(TOOL) benchstat $(OLD) bench.txt

##@ Apache Kafka (Java 17)

.PHONY: bin/kafka
bin/kafka:
	go build -o $@ ./test/kafkatest/cmd/kafka

.PHONY: kafka
kafka: bin/kafka ## run a broker until Ctrl-C (PORT=9092)
	exec bin/kafka serve -port $(PORT) $(ARGS)

.PHONY: cluster
cluster: bin/kafka ## run three brokers until Ctrl-C (PORT=9092 and the next two)
	exec bin/kafka serve -nodes 3 -heap 256m -port $(PORT) $(ARGS)

# Only these packages' tests ask for a real broker. With -short they leave out what they
# do with an embedded one. They mostly wait, so more run at once than there are processors.
KAFKA_PACKAGES = $$(git grep -lE --untracked 'kafkatest\.(Each|Real|At)\(' -- '*_test.go' | xargs -n 1 dirname | sort -u | sed 's|^|./|')

.PHONY: kafka-test
kafka-test: bin/kafka ## run the Kafka tests against KAFKA_BROKERS, or a broker of their own
	@packages="$(KAFKA_PACKAGES)"; \
	test -n "$$packages" || { echo "no package tests against Kafka" >&2; exit 1; }; \
	tests=(go test -count=1 -short -timeout 20m -parallel 8 $(ARGS) $$packages); \
	if [ -n "$${KAFKA_BROKERS:-}" ]; then "$${tests[@]}"; else bin/kafka run -- "$${tests[@]}"; fi

.PHONY: first-topic
first-topic: bin/kafka ## run the commands of README.md and docs/first-topic.md as printed; ports 9092, 8080, 9090
	bin/kafka fetch
	FIRST_TOPIC=kafka go test -count=1 -run '^Test(FirstTopic|ReadmeCommands)$$' -v $(ARGS) ./cmd/clientevents

##@ Chaos: real processes and brokers

.PHONY: bin/chaos
bin/chaos:
	go build -o $@ ./test/chaos

.PHONY: chaos
chaos: bin/chaos ## kill, freeze, cut and restart processes and brokers (RECORDS=50000 KILLS=10 …)
	bin/chaos -records $(or $(RECORDS),50000) -kills $(or $(KILLS),10) -rebalances $(or $(REBALANCES),10) \
		-freezes $(or $(FREEZES),2) -restarts $(or $(RESTARTS),2) -outages $(or $(OUTAGES),8) \
		-broker-kills $(or $(BROKER_KILLS),4) -broker-freezes $(or $(BROKER_FREEZES),2) -cuts $(or $(CUTS),6) $(ARGS)

.PHONY: chaos-short
chaos-short: bin/chaos ## the same in about four minutes
	bin/chaos -records 20000 -kills 4 -rebalances 5 -freezes 1 -restarts 1 -outages 3 -broker-kills 1 -broker-freezes 1 -cuts 6 $(ARGS)

.PHONY: chaos-backlog
chaos-backlog: bin/chaos ## build a backlog behind an API that hangs, watch memory (BACKLOG=1000000)
	for codec in $(or $(CODECS),none zstd); do bin/chaos -nodes 1 -backlog $(or $(BACKLOG),1000000) -codec $$codec $(ARGS); done

.PHONY: chaos-replace
chaos-replace: bin/chaos ## measure delays while three replicas are replaced (IDS=600000)
	bin/chaos -replace $(or $(IDS),600000) $(ARGS)

.PHONY: chaos-takeover
chaos-takeover: bin/chaos ## measure takeovers after kills, and a fourth replica that joins (IDS=1000000)
	bin/chaos -takeover $(or $(IDS),1000000) $(ARGS)

.PHONY: flood
flood: ## publish the records that need most memory for five minutes (FOR=5m)
	go build -o bin/clientevents ./cmd/clientevents
	go run ./test/flood -for $(or $(FOR),5m) $(ARGS)

.PHONY: flood-short
flood-short: ## publish each kind of them once, in about a minute
	go build -o bin/clientevents ./cmd/clientevents
	go run ./test/flood -partitions 4 $(ARGS)

.PHONY: upgrade
upgrade: bin/chaos ## roll from FROM (the last release or commit) to this build and back
	bin/chaos -nodes 1 -records 6000 -upgrade $(or $(FROM),previous) $(ARGS)

.PHONY: simulate
simulate: ## run every simulation, with SEEDS (100) seeds of each kind
	go test ./test/simulation -count=1 -timeout 60m -v -all -seeds $(or $(SEEDS),100) $(ARGS) | grep -vE '^ *(=== |--- PASS|simulation_test)'
	go test ./reporter -count=1 -run '^TestQuotaScores$$' -quotas 60

##@ Suites with other tools

.PHONY: conformance
conformance: ## compare reporter and emulator with Google's clients (Node 20, Python 3, Java)
	cd conformance/node && npm ci --silent
	cd conformance/python && python3 -m venv .venv && .venv/bin/pip install --quiet --requirement requirements.txt
	cd conformance && CONFORMANCE=all go test -count=1 $(ARGS) ./...
	EMULATOR_ROUND_TRIPS=10000 go test -count=1 -run TestReadModifyWrite ./emulator
	cd emulator/grpc && go test -count=1 ./...

.PHONY: registry-test
registry-test: ## decode records with a real schema registry (Java 17, Maven, Python 3)
	cd test/registry && go test -count=1 -v $(ARGS) ./...

.PHONY: browser-test
browser-test: ## test the pages with Chromium
	cd test/browser && go test -count=1 $(ARGS) ./...

.PHONY: screenshots
screenshots: ## the same, and take the pictures of docs/images
	cd test/browser && BROWSER_REQUIRED=1 go test -count=1 ./... -args -screenshots $(CURDIR)/docs/images

# In every module that holds code.
define in_modules
@for module in $(CODE); do (cd $$module && $(1)) || exit 1; done
endef

.PHONY: producers-test
producers-test: ## run the programs of docs/producers.md (Java 17, Maven, Python 3, Node 20)
	cd docs/producers/java && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib
	cd docs/producers/python && python3 -m venv .venv && .venv/bin/pip install --quiet --requirement requirements.txt
	cd docs/producers/node && npm ci --silent
	PRODUCERS=all go test -count=1 -run '^TestProducers' $(ARGS) ./cmd/clientevents

##@ Deployment and monitoring

.PHONY: deploy-check
deploy-check: rules-check dashboards-check ## check chart, manifests, image, compose, workflows, rules and dashboards
	cd deploy/check && go test -count=1 -timeout 20m ./... $(ARGS)

# What is checked with Prometheus's own tools is in a module of its own. A test that
# lacks them says NOT RUN, which is no pass here.
define monitoring_test
@mkdir -p bin
@cd deploy/tests && go test -count=1 -timeout 10m -parallel 4 -v -run '$(1)' ./... $(ARGS) >$(CURDIR)/bin/monitoring.log 2>&1 || { cat $(CURDIR)/bin/monitoring.log; exit 1; }
@grep -E '^ *--- |^ok|NOT RUN' bin/monitoring.log; ! grep -q 'NOT RUN' bin/monitoring.log
endef

.PHONY: rules-check
rules-check: ## check the alerts with promtool; each has a test and a runbook section
	$(call monitoring_test,Rule|Alert|Runbook)

.PHONY: dashboards
dashboards: ## write the dashboards into deploy/grafana
	go run ./deploy/grafana

.PHONY: dashboards-check
dashboards-check: ## check that each panel shows data of a real Prometheus
	$(call monitoring_test,Dashboard)

.PHONY: fault-drill
fault-drill: ## break one thing after the other; alerts and status must show it in time
	$(call monitoring_test,FaultDrill|Scaled)

##@ Code

.PHONY: lint
lint: ## run golangci-lint, check sizes and vocabulary, find unused functions
	go test ./test/style
	$(call in_modules,$(TOOL) golangci-lint run --config $(CURDIR)/.golangci.yml ./...)
	@unreachable=$$($(TOOL) deadcode -test ./...); \
		test -z "$$unreachable" || { echo "no program and no test calls these:"; echo "$$unreachable"; exit 1; }

.PHONY: deadcode
deadcode: ## list functions that only tests call
	$(TOOL) deadcode -filter '^$(MODULE)/(batcher|cmd|consumer|emulator|event|internal|reporter)' ./... | grep -v /tokenserver/ || true

.PHONY: fmt
fmt: ## format the code
	$(call in_modules,$(TOOL) golangci-lint fmt --config $(CURDIR)/.golangci.yml ./...)

.PHONY: fix
fix: ## apply the fixes of the linters
	$(call in_modules,$(TOOL) golangci-lint run --config $(CURDIR)/.golangci.yml --fix ./...)

.PHONY: vuln
vuln: ## find known vulnerabilities of the dependencies
	$(TOOL) govulncheck ./...

.PHONY: tidy
tidy: ## tidy every go.mod
	@for module in . $(MODULES); do (cd $$module && go mod tidy) || exit 1; done

.PHONY: tidy-check
tidy-check: ## show what tidy would change
	@for module in . $(MODULES); do (cd $$module && go mod tidy -diff) || exit 1; done

.PHONY: check
check: ## build, vet, format, tidy, lint, race: required for every change
	go build ./...
	go vet ./...
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
		test -z "$$unformatted" || { echo "not formatted, see 'make fmt':"; echo "$$unformatted"; exit 1; }
	$(MAKE) tidy-check lint race

##@ Releases and CI

# Without a remote, goreleaser stamps "none" as the commit.
HOME_URL := https://$(MODULE)

.PHONY: release-snapshot
release-snapshot: ## build an unsigned release into dist/ and check it (builds its tools first)
	GOBIN=$(CURDIR)/bin go install github.com/goreleaser/goreleaser/v2@v2.15.4
	GOBIN=$(CURDIR)/bin go install github.com/anchore/syft/cmd/syft@v1.54.1
	PATH=$(CURDIR)/bin:$$PATH bin/goreleaser check
	git remote get-url origin >/dev/null 2>&1 || \
		export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=remote.origin.url GIT_CONFIG_VALUE_0=$(HOME_URL); \
	PATH=$(CURDIR)/bin:$$PATH bin/goreleaser release --snapshot --clean --skip=sign
	$(MAKE) release-check

.PHONY: release-check
release-check: ## check the archives, stamps and checksums in dist/
	cd deploy/check && DIST=$(CURDIR)/dist go test -count=1 -run '^TestDist$$' .

.PHONY: ci
ci: ## run everything that CI runs
	.ci/run

.PHONY: clean
clean: ## remove build results
	rm -rf bin dist bench.txt
