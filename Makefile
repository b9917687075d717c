# Everything runs in .venv, made from the lock files; only python3 (3.11 or later) and make are needed.
PYTHON ?= python3

.PHONY: demo test lint lock clean

demo: .venv/run
	.venv/bin/moderation review data/examples/comments.csv

test: .venv/dev
	.venv/bin/pytest

lint: .venv/dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

.venv/run: requirements.lock pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

.venv/dev: requirements-dev.lock .venv/run
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

# Writes the lock files anew from pyproject.toml; needs uv.
lock:
	uv pip compile -q --universal --generate-hashes --python-version 3.11 pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --python-version 3.11 -c requirements.lock --extra serve --extra postgres pyproject.toml -o requirements-serve.lock
	uv pip compile -q --universal --generate-hashes --python-version 3.11 -c requirements-serve.lock --extra test pyproject.toml -o requirements-dev.lock

clean:
	rm -rf .venv build dist
