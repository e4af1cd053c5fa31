# Everything a newcomer needs; `make retrain` and `make test` are complete on a fresh machine.
PYTHON ?= python3
VENV ?= .venv
VENV_SERVING ?= .venv-serving
# Of specialists that `make test-serving` asks besides; each needs pythonX.Y on the path.
SERVING_VERSIONS ?= 3.12 3.13
VENV_MLFLOW2 ?= .venv-mlflow2
VENV_MLFLOW29 ?= .venv-mlflow-server-2.9
BIN = $(VENV)/bin
# Test processes. On two cores four are best: the longest tests wait for servers most of the time.
WORKERS ?= 4
# If this is set, every process compiles Dagster, MLflow and scikit-learn again.
unexport PYTHONDONTWRITEBYTECODE
OTHER_SERVING = $(SERVING_VERSIONS:%=$(VENV_SERVING)-%)
EMPTY =
SPACE = $(EMPTY) $(EMPTY)
WITH_OLD_SERVER = NHM_TEST_MLFLOW29_PYTHON=$(abspath $(VENV_MLFLOW29))/bin/python
WITH_SERVING = NHM_TEST_SERVING_PYTHON=$(abspath $(VENV_SERVING))/bin/python $(WITH_OLD_SERVER)
PYTEST = pytest -n $(WORKERS) --no-loadscope-reorder
# What depends on MLflow's client: what is logged, registered, loaded, scored, promoted, searched for and deleted.
MLFLOW2_TESTS = tests/test_old_mlflow_server.py tests/promotion/test_protocol.py \
  $(addprefix tests/training/test_,auto_search.py candidate.py deleted_in_mlflow.py registration.py \
    serving_contract.py stale_runs.py training_runs.py tuning.py) \
  $(addprefix tests/evaluation/test_,evaluation_report.py members.py predictions.py) \
  $(addprefix tests/registry/test_,champions.py model_files.py retention.py versions.py) tests/resources/test_mlflow_readers.py

.DEFAULT_GOAL := help
.PHONY: help retrain dev test test-fast test-slow test-all test-mlflow2 test-serving test-exhaustive bench bench-gate bench-drift bench-ab screenshots lint types kind-smoke dagster-yaml metrics-document dataset-document install environment-serving environments clean

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

retrain: install ## create sample documents, retrain the five specialists, print a table
	$(BIN)/nhm seed
	$(BIN)/nhm retrain

dev: install ## start MongoDB, MLflow, Dagster's webserver and daemon, until Ctrl-C
	$(BIN)/nhm dev

test: environment-serving ## all tests but the slow ones, against real servers (a quarter of an hour)
	$(WITH_SERVING) $(BIN)/$(PYTEST)

test-fast: install ## the tests without MongoDB, MLflow and PostgreSQL (three and a half minutes)
	$(BIN)/$(PYTEST) -m "not servers and not slow and not exhaustive and not kubernetes"

test-slow: environment-serving ## a week with the real daemon, outages, a browser, thirty days, the image (twenty minutes)
	$(WITH_SERVING) $(BIN)/$(PYTEST) -m "slow and not exhaustive"

test-all: environment-serving ## test and test-slow in one go, which takes less time than one after the other
	$(WITH_SERVING) $(BIN)/$(PYTEST) -m "not exhaustive"

test-mlflow2: install $(VENV_MLFLOW2)/.installed $(VENV_MLFLOW29)/.installed ## what depends on the client: with MLflow 2.22, and a server 2.9.2
	$(WITH_OLD_SERVER) $(VENV_MLFLOW2)/bin/$(PYTEST) $(MLFLOW2_TESTS)

test-serving: environment-serving $(OTHER_SERVING:%=%/.installed) ## every family promoted, then asked as specialists do, on SERVING_VERSIONS of Python (half an hour)
	$(WITH_SERVING) NHM_TEST_SERVING_PYTHONS=$(subst $(SPACE),:,$(abspath $(OTHER_SERVING:%=%/bin/python))) \
	  $(BIN)/pytest -m "" -k as_here tests/test_serving_client.py tests/estimators/test_families.py

test-exhaustive: environment-serving ## twelve weeks of all specialists, outages under the daemon, 200 kills (six hours)
	$(WITH_SERVING) $(BIN)/pytest -m exhaustive

bench: $(VENV)/.installed-bench ## measure the figures in docs/performance.md (BENCH_ROUNDS=1: once each, to try it)
	$(BIN)/python -m benchmarks

bench-gate: install ## simulate how often the gate is wrong, see docs/decision-quality.md
	$(BIN)/python -m benchmarks.gate

bench-drift: install ## simulate false alarms of drift, and what is found, see docs/operations.md
	$(BIN)/python -m benchmarks.drift

bench-ab: install ## simulate what A/B tests find, see docs/serving-quality.md
	$(BIN)/python -m benchmarks.ab

screenshots: install ## make the pictures of docs/ from the running UI (needs chromium)
	$(BIN)/python -m tests.browser.screenshots

kind-smoke: ## install, run, restart, drain and delete on a throw-away cluster (needs docker, kind, kubectl)
	$(PYTHON) -m deploy.kind_smoke

dagster-yaml: ## write every dagster.yaml from its parts in deploy/dagster
	$(PYTHON) -m deploy.dagster_yaml

metrics-document: ## write docs/metrics.md from the tables of metrics
	$(BIN)/python -m nhm_assets.monitoring.document > docs/metrics.md

dataset-document: ## write docs/dataset.md from the tables of columns and fields
	$(BIN)/python -m nhm_assets.feedback.document > docs/dataset.md

lint: install ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## mypy
	$(BIN)/mypy

install: $(VENV)/.installed ## create the environment of the platform

environment-serving: install $(VENV_SERVING)/.installed

environments: install $(VENV_SERVING)/.installed $(VENV_MLFLOW2)/.installed $(VENV_MLFLOW29)/.installed ## create the environments of all tests

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[local,dev]'
	touch $@

# For `make bench` alone: Kedro, which runs a counterpart.
$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/pip install --quiet -c constraints.txt -e '.[local,dev,bench]'
	touch $@

# The environments below are for tests alone. They import a small part of what is installed, so pip compiles nothing.

# What a specialist runs: it loads the versions that the platform promotes.
$(VENV_SERVING)/.installed: tests/environments/serving.txt
	$(PYTHON) -m venv $(VENV_SERVING)
	$(VENV_SERVING)/bin/pip install --quiet --no-compile -r $<
	touch $@

$(VENV_SERVING)-%/.installed: tests/environments/serving.txt
	python$* -m venv $(VENV_SERVING)-$*
	$(VENV_SERVING)-$*/bin/pip install --quiet --no-compile -r $<
	touch $@

# The older MLflow client, for servers that clusters still run. Two installations of this folder at a time would write
# the same files into it, so this one waits for the platform's.
$(VENV_MLFLOW2)/.installed: pyproject.toml constraints-mlflow2.txt | $(VENV)/.installed
	$(PYTHON) -m venv $(VENV_MLFLOW2)
	$(VENV_MLFLOW2)/bin/pip install --quiet --no-compile -c constraints-mlflow2.txt -e '.[local,dev]'
	touch $@

# An MLflow server of that age.
$(VENV_MLFLOW29)/.installed: tests/environments/mlflow-server-2.9.txt
	$(PYTHON) -m venv $(VENV_MLFLOW29)
	$(VENV_MLFLOW29)/bin/pip install --quiet --no-compile -r $<
	touch $@

clean: ## remove the environments and everything in .nhm
	rm -rf $(VENV) $(VENV_SERVING) $(VENV_SERVING)-3.* $(VENV_MLFLOW2) $(VENV_MLFLOW29) .nhm
