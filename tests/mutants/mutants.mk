##@ Prove
.PHONY: mutants
mutants: $(INSTALLED) ## Put known faults into a copy of the code; each must fail its test (ARGS="-k name")
	@.venv/bin/python -m testkit.mutants $(ARGS)
