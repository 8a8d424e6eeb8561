SECONDS ?= 120
# A new seed each time, which is printed: the same seed repeats the same requests and inputs.
FUZZ_SEED := $(or $(SEED),$(shell echo $$(( $$(date +%s) % 1000000 ))))

##@ Explore
.PHONY: fuzz
fuzz: $(INSTALLED) ## Send odd requests and inputs to every parser (SECONDS=120, SEED=)
	@echo "fuzzing for about $(SECONDS) s with SEED=$(FUZZ_SEED)"
	@FUZZ_SECONDS=$$(( $(SECONDS) / 3 )) FUZZ_SEED=$(FUZZ_SEED) .venv/bin/python -m pytest \
		tests/fuzz/test_api.py -q -o timeout=0 -o faulthandler_timeout=0
	@FUZZ_SECONDS=$$(( $(SECONDS) / 3 / 35 + 1 )) FUZZ_SEED=$(FUZZ_SEED) .venv/bin/python -m pytest \
		tests/fuzz --ignore=tests/fuzz/test_api.py -q -o timeout=0
	@if $(MAKE) .cache/tools/atheris/.done >/dev/null 2>&1; then \
		PYTHONPATH=tests/fuzz:.cache/tools/atheris/packages \
			.venv/bin/python -m testkit.fuzz.guided $$(( $(SECONDS) / 3 )) $(FUZZ_SEED); \
	else echo "--  led by coverage: no atheris for this Python or machine"; fi

# Imported beside our own packages, so a folder and not a venv.
.cache/tools/atheris/.done: deploy/tools/atheris.lock $(UV)
	@rm -rf $(@D)
	@$(UV) pip install --quiet --python .venv/bin/python --target $(@D)/packages --require-hashes --requirements $<
	@touch $@
