# Everything a newcomer needs. `make demo` and `make test` do their own set-up into .venv.

PYTHON ?= python3.11
SEEDS ?= 2000
RECORDS ?= 1000000
SEED ?= 1
MINUTES ?= 5
BROKERS ?= 1
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := $(VENV)/peers
S3 := $(VENV)/s3
OF_SERVERS := tests/kafka tests/chaos tests/fuzz tests/console tests/monitoring tests/deploy
STREAMS := benchmarks/peers/kafka_streams

.DEFAULT_GOAL := help
.PHONY: help install demo test tests-of-servers tests-else check dashboards pages docs rules vendored screenshots simulate chaos fuzz sbom audit bench bench-full clean

help: ## Say what there is.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(STAMP): pyproject.toml requirements-dev.lock
	@command -v $(PYTHON) >/dev/null || { echo "Carbonflow needs $(PYTHON)."; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { echo "Carbonflow needs the venv of $(PYTHON): apt-get install python3.11-venv"; exit 1; }
	@echo "Installing into $(VENV); the heavy wheels come once ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements-dev.lock
	@PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m streams.warm  # Compiles the kernels, which else the first worker would do.
	@touch $@

install: $(STAMP) ## Create .venv with everything, from the lock file.

demo: $(STAMP) ## Stream the bundled sample through the whole pipeline on this machine.
	@$(BIN)/carbonflow demo

# Two runs beside each other: those of servers wait for them most of the time.
test: check ## Check, then run every test, the real Kafka among them.
	@$(MAKE) --no-print-directory --keep-going --jobs=2 tests-of-servers tests-else

tests-of-servers: $(STAMP)
	@mkdir -p build; $(BIN)/pytest -p no:cacheprovider $(OF_SERVERS) > build/tests-of-servers.log 2>&1; failed=$$?; \
	echo; echo "$(OF_SERVERS):"; cat build/tests-of-servers.log; exit $$failed

tests-else: $(STAMP)
	@$(BIN)/pytest $(OF_SERVERS:%=--ignore=%)

check: $(STAMP) ## Lint, types and the import rule.
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

dashboards: $(STAMP) ## Write the dashboards of Grafana and docs/dashboards.md from their code.
	@$(BIN)/python -m deploy.grafana.generate

pages: $(STAMP) ## Write what is made of the code: AsyncAPI, OpenAPI, topics, commands, NOTICE.md.
	@$(BIN)/carbonflow asyncapi > docs/asyncapi.yaml
	@$(BIN)/python -m schemas.pages docs/topics
	@$(BIN)/python -m docsite.made

docs: $(STAMP) ## Build the site of docs/ into build/site, every warning an error.
	@$(BIN)/python -m docsite build

rules: $(STAMP) ## Write the alerts for Kubernetes from deploy/prometheus/rules.
	@mkdir -p build
	@$(BIN)/python deploy/kubernetes/rules.py > build/rules.yaml
	@mv build/rules.yaml deploy/kubernetes/components/alerts/rules.yaml

vendored: $(STAMP) ## Put what the pages of the API load into api/vendored, from npm, as locked.
	@$(BIN)/python -m tests.vendored.copy

screenshots: $(STAMP) ## Take the pictures of docs/console.md anew; needs Chromium.
	@$(BIN)/python -m tests.console.screenshots

simulate: $(STAMP) ## Play SEEDS bad days of simulated workers, and check the books after each.
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

chaos: $(STAMP) ## Break a real pipeline in every way for five minutes, and check its books; BROKERS=3, MINUTES, SEED.
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES) --seed $(SEED) --brokers $(BROKERS)

fuzz: $(STAMP) ## Work a million damaged records: make fuzz RECORDS=1000000 SEED=1.
	@$(BIN)/python -m tests.fuzz --records $(RECORDS) --seed $(SEED)

sbom: $(STAMP) ## Write the bill of materials of the image, build/sbom.cdx.json (CycloneDX).
	@mkdir -p build
	@$(BIN)/python -W ignore::UserWarning:cyclonedx.model.bom -m cyclonedx_py requirements requirements.lock --pyproject pyproject.toml \
	  --output-reproducible --validate --output-file build/sbom.cdx.json

# Of a package it cannot look up pip-audit says "skipped" and ends with 0; --strict makes that a failure.
audit: $(STAMP) ## Ask for known vulnerabilities of what is installed; needs PyPI's advisories.
	@for lock in requirements.lock requirements-dev.lock; do \
	  $(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r $$lock \
	    || { echo "$$lock: NOT audited, or vulnerable: see above. 'Not found on PyPI' means that the advisories could not be had." >&2; exit 1; }; \
	done

bench: $(STAMP) ## Compare our worker with its peers: same broker, same records.
	@$(BIN)/python -m benchmarks.run

bench-full: $(STAMP) ## All benchmarks: a real Apache Kafka and Kafka Streams, state, sink, latency, ...
	@$(BIN)/python -m benchmarks.run --full; failed=$$?; \
	for each in breakdown scaling restate sink late state queries latency client load gateway wrk capacity; do \
	  echo "== $$each"; $(BIN)/python -m benchmarks.$$each || failed=1; \
	done; exit $$failed

# The benchmark asks for these two when it needs them. The peers' packages are no part of ours.
$(PEERS)/.installed: requirements-bench.lock
	@test -x $(PEERS)/bin/pip || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements-bench.lock
	@touch $@

# Tests of buckets ask for it. It needs an older package than we do, and gets a folder of its own.
$(S3)/.installed: requirements-s3.lock
	@test -x $(S3)/bin/pip || $(PYTHON) -m venv $(S3)
	@$(S3)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements-s3.lock
	@touch $@

$(STREAMS)/target/kafka-streams-peer.jar: $(STREAMS)/pom.xml $(wildcard $(STREAMS)/src/main/*/* $(STREAMS)/src/main/java/carbonflow/bench/*) schemas/avro/charging_session.v1.avsc
	@command -v mvn >/dev/null || { echo "Kafka Streams needs Maven and Java 17."; exit 1; }
	@mvn -q -B -Dstyle.color=never -f $(STREAMS)/pom.xml package

clean: ## Remove what was built; data directories stay.
	@rm -rf $(VENV) build *.egg-info
