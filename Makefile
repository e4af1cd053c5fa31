# Everything a newcomer needs; `make retrain` and `make test` are complete on a fresh machine.
PYTHON ?= python3
VENV ?= .venv
VENV_SERVING ?= .venv-serving
VENV_MLFLOW2 ?= .venv-mlflow2
VENV_MLFLOW29 ?= .venv-mlflow-server-2.9
BIN = $(VENV)/bin
# Two more than there are processors, where there are two: the longest tests wait for daemons much of the time.
WORKERS ?= 4
# Where it is set, every process would compile Dagster, MLflow and scikit-learn again.
unexport PYTHONDONTWRITEBYTECODE
PYTEST = pytest -n $(WORKERS) --no-loadscope-reorder

.PHONY: retrain test test-fast test-mlflow2 test-exhaustive bench dev lint types dagster-yaml install environments clean

retrain: install ## make up documents, retrain the five specialists, print the table
	$(BIN)/nhm seed
	$(BIN)/nhm retrain

dev: install ## MongoDB, MLflow, Dagster's webserver and daemon, until Ctrl-C
	$(BIN)/nhm dev

test: install $(VENV_SERVING)/.installed ## every test
	NHM_TEST_SERVING_PYTHON=$(abspath $(VENV_SERVING))/bin/python $(BIN)/$(PYTEST)

test-fast: install ## the tests that take seconds
	$(BIN)/$(PYTEST) -m "not slow and not kubernetes"

test-mlflow2: install $(VENV_MLFLOW2)/.installed $(VENV_MLFLOW29)/.installed ## the main path with MLflow 2.22 against a server 2.9.2
	NHM_TEST_MLFLOW29_PYTHON=$(abspath $(VENV_MLFLOW29))/bin/python $(BIN)/pytest tests/test_old_mlflow_server.py
	NHM_TEST_MLFLOW29_PYTHON=$(abspath $(VENV_MLFLOW29))/bin/python $(VENV_MLFLOW2)/bin/$(PYTEST) \
	  tests/test_old_mlflow_server.py tests/promotion tests/training tests/evaluation tests/registry/test_model_files.py

test-exhaustive: install ## what takes too long for every day: twelve weeks of all specialists, steps as Jobs
	$(BIN)/pytest -m exhaustive

bench: install ## the figures of docs/performance.md
	$(BIN)/python -m benchmarks

dagster-yaml: ## write every dagster.yaml from its parts in deploy/dagster
	$(PYTHON) -m deploy.dagster_yaml

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

install: $(VENV)/.installed

environments: install $(VENV_SERVING)/.installed $(VENV_MLFLOW2)/.installed $(VENV_MLFLOW29)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[local,dev]'
	touch $@

# What only tests use compiles what it imports, when it does: that is the smaller part.

# What a specialist runs: it loads what the platform promotes.
$(VENV_SERVING)/.installed: tests/environments/serving.txt
	$(PYTHON) -m venv $(VENV_SERVING)
	$(VENV_SERVING)/bin/pip install --quiet --no-compile -r $<
	touch $@

# The older MLflow client, for the servers that clusters still run.
$(VENV_MLFLOW2)/.installed: pyproject.toml constraints-mlflow2.txt
	$(PYTHON) -m venv $(VENV_MLFLOW2)
	$(VENV_MLFLOW2)/bin/pip install --quiet --no-compile -c constraints-mlflow2.txt -e '.[local,dev]'
	touch $@

# Such a server.
$(VENV_MLFLOW29)/.installed: tests/environments/mlflow-server-2.9.txt
	$(PYTHON) -m venv $(VENV_MLFLOW29)
	$(VENV_MLFLOW29)/bin/pip install --quiet --no-compile -r $<
	touch $@

clean: ## remove environments and everything kept under .nhm
	rm -rf $(VENV) $(VENV_SERVING) $(VENV_MLFLOW2) $(VENV_MLFLOW29) .nhm
