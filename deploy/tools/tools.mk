# Tools that conflict with our dependencies, or that few developers need: each has a venv, created at
# its first use from a lock with hashes. `.cache/tools/NAME/.done` marks NAME's venv.

.cache/tools/%/.done: deploy/tools/%.lock | $(UV)
	@$(UV) venv --quiet --clear --python .venv/bin/python $(@D)
	@$(UV) pip sync --quiet --python $(@D) --require-hashes $<
	@touch $@

# The one tool from npm; its lock holds hashes and names no host.
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
