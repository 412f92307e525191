.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.venv/ready: requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

venv: .venv/ready ## make .venv from the lock

demo: .venv/ready ## the whole story on this machine, without hardware; ends with Ctrl-C
	@$(BIN)/monitor demo

check: .venv/ready ## lint, format, types, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: .venv/ready ## all tests but those against a real vLLM
	$(BIN)/python -m pytest -n auto -m "not alone and not real_vllm"
	$(BIN)/python -m pytest -m "alone and not real_vllm"

test-vllm: .venv/ready ## the story against a real vLLM at MONITOR_TEST_VLLM_URL
	@test -n "$$MONITOR_TEST_VLLM_URL" || { echo "set MONITOR_TEST_VLLM_URL, e.g. http://127.0.0.1:8000"; exit 2; }
	$(BIN)/python -m pytest -m real_vllm -s tests/real_vllm

compose-test: .venv/ready ## docker-compose.yml tried for real, with stand-ins for what cannot be pulled: needs Docker, minutes
	$(BIN)/python tests/compose/story.py

bench: .venv/ready ## what the monitor costs: one table
	$(BIN)/python tests/bench/overhead.py

bench-accuracy: .venv/ready ## how true the canary's figures are, beside other clients: one table, half an hour
	$(BIN)/python tests/bench/accuracy.py

bench-cost: .venv/ready ## what users of the vLLM at MONITOR_TEST_VLLM_URL lose to the sidecar: one table
	@test -n "$$MONITOR_TEST_VLLM_URL" || { echo "set MONITOR_TEST_VLLM_URL, e.g. http://127.0.0.1:8000"; exit 2; }
	$(BIN)/python tests/bench/cost.py $$MONITOR_TEST_VLLM_URL

bench-detection: .venv/ready ## how soon slowdowns are found and how often nothing was slower, beside other rules: one table, minutes
	$(BIN)/python tests/bench/detection.py

goldens: .venv/ready ## rewrite goldens and generated docs; the diff is the review
	MONITOR_TEST_GOLDENS=1 $(BIN)/python -m pytest -q

dashboards: .venv/ready ## write Grafana's dashboards as JSON
	$(BIN)/python -m dashboards.build

lock: ## resolve the dependencies again (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet --python-version 3.11 --extra notify --extra nvidia pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet --python-version 3.11 --extra dev pyproject.toml -o requirements-dev.lock
	echo 'flit_core >=3.12,<5' | uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet --python-version 3.11 - -o requirements-build.lock

fix: .venv/ready ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: help venv demo check test test-vllm compose-test bench bench-accuracy bench-cost bench-detection goldens dashboards lock fix
