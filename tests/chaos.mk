# The fault suite: see docs/reliability.md.

CHAOS := .venv/bin/python -m testkit.chaos
# Not SECONDS itself: some shells have a variable of that name.
chaos_options = $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS)) \
	$(if $(RUNS),--runs $(RUNS)) $(if $(FAULTS),--faults $(FAULTS))

##@ Prove
.PHONY: chaos recovery soak
chaos: $(INSTALLED) ## Inject faults around the running system, by a seed (SEED, SECONDS, RUNS, FAULTS=a,b)
	@$(CHAOS) run $(chaos_options)

recovery: $(INSTALLED) ## Measure the times to recover: benchmarks/results/recovery.json
	@$(CHAOS) recovery

soak: $(INSTALLED) $(PAINTER)/.installed ## Run a steady load at 80 % of capacity, and watch what grows (MINUTES=20, RATE)
	@$(CHAOS) soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE)); status=$$?; \
	$(PAINTER)/bin/python tests/testkit/src/testkit/chaos/soak/paint.py \
		benchmarks/results/soak.json docs/images/soak.png && exit $$status
