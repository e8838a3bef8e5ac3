.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
LOGGERS := ../shared/data/usses

.PHONY: help demo test lint bench figures dashboards setup-demo setup-test setup-bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup-demo ## set up, run a simulated pasture, serve the board page
	@.venv/bin/suat demo $(ARGS)

test: setup-test lint ## set up and run every test, the slow ones last
	$(PYTHON) -m pytest -n 2 --dist loadfile -m "not slow" --cov --cov-report=
	$(PYTHON) -m pytest -n 2 --dist loadfile -m slow --cov --cov-append --cov-report=term:skip-covered

lint: setup-test ## ruff and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	@for chip in rp2 esp32; do \
	    echo "mypy: the node against the $$chip stubs" && \
	    MYPYPATH=.venv/stubs-$$chip:firmware .venv/bin/mypy --config-file firmware/mypy.ini \
	        --custom-typeshed-dir .venv/stubs-$$chip || exit 1; \
	done

bench: setup-bench ## measure the hot paths beside their peers; ratios and absolute figures
	$(PYTHON) tools/bench.py

figures: setup-bench ## measure the filters and draw docs/figures anew; the loggers' files are in LOGGERS
	$(PYTHON) cython_ext/bench/filters.py --write docs/figures >/dev/null
	$(PYTHON) cython_ext/bench/report.py docs/figures/filters.json docs/filters.md
	$(PYTHON) tools/logger_pictures.py $(LOGGERS) --out docs/figures

dashboards: setup-test ## write the Grafana dashboards anew
	$(PYTHON) dashboards/build.py

setup-demo:
	@tools/setup.sh demo

setup-test:
	@tools/setup.sh test

setup-bench: setup-test
	@tools/setup.sh bench

clean: ## remove what was built
	rm -rf .venv build *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache firmware/tests/node_modules dashboards/*/node_modules
	find . -name '*.so' -path './cython_ext/*' -delete
