# Tools that would not fit beside our own dependencies, or that few need: a venv each, made when first
# used, from a lock with hashes. `.cache/tools/NAME/.done` is NAME's venv.

.cache/tools/%/.done: deploy/tools/%.lock | $(UV)
	@$(UV) venv --quiet --clear --python .venv/bin/python $(@D)
	@$(UV) pip sync --quiet --python $(@D) --require-hashes $<
	@touch $@

# The one tool that comes from npm; its lock holds hashes and names no host.
.cache/tools/devcontainer/.done: deploy/tools/devcontainer/package-lock.json
	@mkdir -p $(@D)
	@cp deploy/tools/devcontainer/package*.json $(@D)
	@npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(@D)
	@touch $@

.PHONY: tool-locks
tool-locks: $(UV)
	@for name in $(basename $(notdir $(wildcard deploy/tools/*.in))); do \
		UV_CUSTOM_COMPILE_COMMAND="make tool-locks" $(UV) pip compile --quiet --universal \
			--generate-hashes --no-emit-index-url --python-version 3.11 \
			deploy/tools/$$name.in --output-file deploy/tools/$$name.lock; \
	done
