# `make help` lists the targets. They need only Python >= 3.11, make and a package registry. A part
# of the project adds targets in a *.mk in its folder: a line `target: ## text` under a `##@ Group`
# appears in the help, and `CHECKS += check-name` joins `make check`.

PYTHON ?= python3
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help

PACKAGES := payments-core payments-api recon-worker payments-ui
MANIFESTS := $(PACKAGES:%=%/pyproject.toml)
# Tools for development, never part of an image; their dependencies are the group dev.
TOOLS := deploy/local tests/testkit
INSTALLED := .venv/.installed
UV := .venv/bin/uv
LOCAL := .venv/bin/python -m payments_local
# The database is DATABASE_URL's, or the one on PG_PORT; compose's owner has a password.
AS_OWNER = PGPASSWORD="$${PGPASSWORD:-$$(deploy/compose/password)}"
CHECKS := check-format check-lint check-types check-boundaries check-lock check-migrations
comma := ,
# Prints one line; make adds its own line with the target's name.
fail = { printf 'error: %s\n' "$(1)" >&2; exit 1; }

-include $(wildcard */*.mk deploy/*/*.mk tests/*/*.mk)

##@ Run
.PHONY: up reset validate keys jobs audit
up: $(INSTALLED) ## Run the whole system on this machine, until Ctrl-C (API_PORT, UI_PORT, WORKER_PORT, PG_PORT, DATABASE_URL, DATA_DIR)
	@exec $(LOCAL) up --stop-with-parent

reset: $(INSTALLED) ## Delete the data of `make up` (DATA_DIR, .data if not set)
	@$(LOCAL) reset

validate: $(INSTALLED) ## Check a real payment end to end against the running system
	@$(AS_OWNER) .venv/bin/payments-api validate --api-url "http://127.0.0.1:$${API_PORT:-3001}"

keys: $(INSTALLED) ## List API keys, or ARGS="create --name shop --scopes payments:write"
	@$(AS_OWNER) .venv/bin/payments-api keys $(or $(ARGS),list)

jobs: $(INSTALLED) ## List dead letters, or ARGS="replay 7"
	@$(AS_OWNER) .venv/bin/recon-worker jobs $(or $(ARGS),list)

audit: $(INSTALLED) ## Check the books' invariants in new rows, or ARGS=--full, ARGS=--seal
	@$(AS_OWNER) .venv/bin/recon-worker audit $(ARGS)

##@ Work
.PHONY: install test test-quick check lock fmt
install: $(INSTALLED) ## Make .venv with exactly the packages in requirements.lock
	@:

test: $(INSTALLED) ## Run every test that this machine supports (ARGS="-k name"; REQUIRE=engine,browser forbids those skips)
	@echo "All tests: 10 minutes on two cores, 15 with a container engine. The packages' own, in half of that: make test-quick."
	@.venv/bin/python -m pytest -n auto $(ARGS)

test-quick: $(INSTALLED) ## Run the packages' own tests: no container, browser or injected fault (ARGS="-k name")
	@.venv/bin/python -m pytest -n auto -m "not engine and not browser" $(PACKAGES:%=%/tests) $(ARGS)

check: $(INSTALLED) ## Format, lint, types, boundaries, lock, migrations
	@$(MAKE) --keep-going --jobs=2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) $(CHECKS)

lock: $(UV) ## Update requirements.lock from the pyproject files (UPGRADE=1: newest versions)
	@$(compile) $(if $(UPGRADE),--upgrade) --output-file requirements.lock

fmt: $(INSTALLED) ## Format, and apply lint's fixes
	@.venv/bin/ruff format --quiet
	@.venv/bin/ruff check --quiet --fix

##@ About
.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { group = substr($$0, 5); if (!(group in texts)) groups[++count] = group } \
		/^[a-z0-9-]+:.*## / { texts[group] = texts[group] sprintf("  make %-18s  %s\n", $$1, $$2) } \
		END { for (i = 1; i <= count; i++) printf "\n%s\n%s", groups[i], texts[groups[i]] }' \
		$(MAKEFILE_LIST)

# --- the parts of `make check`, run in parallel; a failure is reported under the part's name ------
.PHONY: check-format check-lint check-types check-boundaries check-lock check-lock-versions \
	check-migrations
check-format: $(INSTALLED)
	@.venv/bin/ruff format --check --quiet || $(call fail,some files are not formatted: run make fmt)
	@echo "ok  format"

check-lint: $(INSTALLED)
	@.venv/bin/ruff check --quiet --output-format=concise
	@echo "ok  lint"

check-types: $(INSTALLED)
	@.venv/bin/mypy --no-error-summary $(PACKAGES:%=%/src) deploy/local tests conftest.py
	@for tests in $(PACKAGES:%=%/tests); do \
		MYPYPATH=$$tests .venv/bin/mypy --no-error-summary $$tests || exit 1; done
	@echo "ok  types"

check-boundaries: $(INSTALLED)
	@.venv/bin/lint-imports >.venv/boundaries.txt 2>&1 || { cat .venv/boundaries.txt; exit 1; }
	@echo "ok  boundaries"

check-lock: $(INSTALLED) check-lock-versions
	@cp requirements.lock .venv/requirements.lock
	@$(compile) --output-file .venv/requirements.lock
	@diff requirements.lock .venv/requirements.lock \
		|| $(call fail,requirements.lock is behind the pyproject files: run make lock)
	@! grep -n '://' requirements.lock || $(call fail,requirements.lock names a host)
	@echo "ok  lock"

# With two versions, the tests' Python could run one and the images' Python the other.
check-lock-versions:
	@twice=$$(sed -n 's/^\([a-z0-9._-]*\)==.*/\1/p' requirements.lock | sort | uniq -d | xargs); \
		[ -z "$$twice" ] || $(call fail,requirements.lock has several versions of $$twice: \
		choose one that every supported Python can run)

check-migrations: $(INSTALLED)
	@$(LOCAL) with-postgres sh -c \
		'.venv/bin/payments-api migrate && .venv/bin/payments-api migrate --check' \
		>.venv/migrations.txt 2>&1 || { cat .venv/migrations.txt; exit 1; }
	@echo "ok  migrations"

# --- installation ---------------------------------------------------------------------------------
# One resolution for every platform and Python, with hashes and without a registry's host name.
compile = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --universal \
	--generate-hashes --no-emit-index-url --python-version 3.11 --no-emit-package payments-core \
	--group pyproject.toml:dev --all-extras $(MANIFESTS)

# Runs the command behind the text, with a dot for each second and the time it took.
step = deploy/local/step "$(1)"

# The .venv of a moved clone, or of a removed Python, cannot work, so it is created again.
VENV_STATE := $(shell if [ ! -x .venv/bin/python ]; then echo none; \
	elif [ -f $(INSTALLED) ] && [ "$$(cat $(INSTALLED))" != "$(CURDIR)" ]; then echo moved; fi)
ifneq ($(VENV_STATE),)
.PHONY: $(UV)
endif

# hatchling builds our packages without a download, so it is installed first. Bytecode is written now,
# not at the first start of each program (or never, with some machines' settings).
$(INSTALLED): requirements.lock pyproject.toml $(MANIFESTS) $(TOOLS:%=%/pyproject.toml) $(UV)
	@[ -x .venv/bin/hatchling ] \
		|| $(call step,Installing the packages of requirements.lock into .venv) \
			$(UV) pip sync --quiet --compile-bytecode --python .venv/bin/python \
			--require-hashes requirements.lock
	@$(call step,Installing the project's packages) $(UV) pip install --quiet --python .venv/bin/python --exact --no-deps --no-build-isolation \
		--compile-bytecode --requirements requirements.lock $(PACKAGES:%=--editable ./%) $(TOOLS:%=--editable ./%)
	@printf '%s\n' "$(CURDIR)" >$@

# uv itself comes from the lock too, checked by its hash before it runs.
$(UV):
	@command -v "$(PYTHON)" >/dev/null \
		|| $(call fail,$(PYTHON) is not installed: install Python 3.11 or newer or run make PYTHON=/path/to/python3)
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| $(call fail,$$("$(PYTHON)" --version 2>&1) is too old: 3.11 or newer is required; run make PYTHON=/path/to/python3)
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null \
		|| $(call fail,$(PYTHON) has no venv and ensurepip: install them (Debian and Ubuntu: apt install python3-venv))
	@[ ! -L .venv ] || [ -z "$$(ls -A .venv/ 2>/dev/null)" ] \
		|| $(call fail,.venv is a link to $$(readlink .venv)$(comma) which another clone may use: rm .venv and run make again)
	@$(call step,Making .venv) "$(PYTHON)" -m venv --clear .venv
	@awk '/^uv==/ { ours = 1; print; next } /^[^ ]/ { ours = 0 } ours' requirements.lock >.venv/uv.txt
	@PIP_USER=0 $(call step,Installing uv) .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--require-hashes --requirement .venv/uv.txt
