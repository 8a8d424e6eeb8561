AS_CODE := .venv/bin/python -m as_code
DEMO := .venv/bin/python -m demo
PAINTER := .cache/tools/painter
CHECKS += check-observability

##@ Observe
.PHONY: demo observability dashboards-preview lock-preview check-observability
demo: $(INSTALLED) ## Run the system under load with a temporary database, until Ctrl-C (RATE=40, ARGS="--data-dir DIR")
	@exec $(DEMO) $(if $(RATE),--rate $(RATE)) $(ARGS)

observability: $(INSTALLED) ## Write rules and dashboards from observability/as_code
	@$(AS_CODE)

dashboards-preview: $(INSTALLED) $(PAINTER)/.installed ## Paint the dashboards into .data/dashboards (SECONDS_OF_LOAD=120; needs Prometheus)
	@$(DEMO) --preview .data/dashboards --seconds $(or $(SECONDS_OF_LOAD),120) \
		--painter "$(CURDIR)/$(PAINTER)/bin/python"

# Only this needs matplotlib, so it stays out of .venv.
$(PAINTER)/.installed: observability/preview.lock $(UV)
	@$(UV) venv --quiet --clear --python .venv/bin/python $(PAINTER)
	@$(UV) pip install --quiet --python $(PAINTER)/bin/python --require-hashes --requirements $<
	@touch $@

lock-preview: $(UV)
	@echo matplotlib | UV_CUSTOM_COMPILE_COMMAND="make lock-preview" $(UV) pip compile --quiet --universal \
		--generate-hashes --no-emit-index-url --python-version 3.11 --output-file observability/preview.lock -

# Not every machine has promtool; tests/observability looks for it, and CI has it.
check-observability: $(INSTALLED)
	@$(AS_CODE) --check
	@MYPYPATH=observability:deploy/local .venv/bin/mypy --no-error-summary \
		observability/as_code $(filter-out %/paint.py,$(wildcard observability/demo/*.py))
	@echo "ok  observability"
