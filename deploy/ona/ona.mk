# The targets of automations.yaml: each service on its own; the environment starts them all at once.

ONA := .venv/bin/python -m payments_ona

##@ Development environment
.PHONY: install-deps migrate start-postgres start-api start-ui start-worker \
	ready-postgres ready-api ready-ui ready-worker stop-postgres stop-api stop-ui stop-worker \
	devcontainer ona

# Several services request the installation at once: one performs it, the others wait.
install-deps: ## Run `make install`, safe for concurrent callers
	@mkdir -p .cache
	@flock .cache/install.lock $(MAKE) install

migrate: install-deps ## Wait for Postgres, then bring its schema to the newest revision
	@$(ONA) migrate

# Runs one service until it is stopped. exec: a signal to make's child is a signal to the service.
start-postgres start-api start-ui start-worker: install-deps
	@exec $(ONA) start $(@:start-%=%)

ready-postgres ready-api ready-ui ready-worker:
	@$(ONA) ready $(@:ready-%=%)

stop-postgres stop-api stop-ui stop-worker:
	@$(ONA) stop $(@:stop-%=%)

devcontainer: install-deps ## Prepare a new development container: packages, psql and pg_isready on PATH
	@bin=$$(.venv/bin/python -c \
		'from payments_local.postgres import BIN; print(BIN)'); \
	mkdir -p "$$HOME/.local/bin"; \
	for tool in psql pg_isready; do \
		command -v $$tool >/dev/null || ln -sf "$$bin/$$tool" "$$HOME/.local/bin/$$tool"; \
	done

ona: install-deps ## Run automations.yaml as Ona does, until Ctrl-C (ARGS="--then validate": then stop)
	@exec .venv/bin/python -m payments_ona.as_ona $(ARGS)
