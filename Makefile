# What one can do here; each target installs what it needs. `make` alone explains.

# One target directory, outside the checkout, for tests, demo and CI alike.
STRONGBACK_CACHE ?= $(HOME)/.cache/strongback
CARGO_TARGET_DIR ?= $(STRONGBACK_CACHE)/target
export STRONGBACK_CACHE CARGO_TARGET_DIR

CARGO = cargo
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help build demo test bench torture fmt lint

help: ## this page
	@echo 'Strongback: an MLOps backbone in one binary, for unchanged mlflow and databricks-sdk code.'
	@echo
	@echo 'First:  make demo     real fraud data, from training to a model that is watched and replaced, in under 10 minutes after the build'
	@echo 'Then:   make build && $(CARGO_TARGET_DIR)/debug/strongback up'
	@echo '        MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python your_training.py'
	@echo
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20
	@echo
	@echo 'Built things go to $(CARGO_TARGET_DIR), Python and PostgreSQL to $(STRONGBACK_CACHE);'
	@echo 'CARGO_TARGET_DIR and STRONGBACK_CACHE move them. One part of the tests: tools/test.sh rust'

build: ## the binary, in the profile that tests and demo use
	$(CARGO) build --workspace --locked

demo: ## the reference pipeline on 284,807 real card transactions
	@venv=$$(tools/venv.sh) && $(CARGO) build --workspace --locked \
	&& STRONGBACK_BIN=$(CARGO_TARGET_DIR)/debug/strongback "$$venv/bin/python" examples/fraud/demo.py

test: ## formats, lints, dependencies, Rust tests, the demo, then real clients on SQLite and PostgreSQL
	@tools/test.sh

bench: ## release build, measured side by side with the peers: MLflow's server and scorer, FastAPI, Polars, DuckDB
	@venv=$$(tools/venv.sh) && STRONGBACK_VENV="$$venv" bench/run.sh \
	&& for each in scoring overhead log_cost why join travel curves large flat; do \
		"$$venv/bin/python" "bench/$$each.py" --binary $(CARGO_TARGET_DIR)/release/strongback || exit; \
	done \
	&& "$$venv/bin/python" bench/join.py --order shuffled --binary $(CARGO_TARGET_DIR)/release/strongback

torture: ## long runs: kill -9 under load, a hundred rounds on each database; the result goes into docs/torture.md
	@tools/torture.sh

fmt: ## formats Rust and Python in place
	@venv=$$(tools/venv.sh) && $(CARGO) fmt --all && "$$venv/bin/ruff" check --fix --quiet . && "$$venv/bin/ruff" format .

lint: ## formats, lints and dependencies only
	@tools/test.sh format python dependencies clippy
