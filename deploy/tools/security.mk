# Code and dependencies that are known to be dangerous. ruff's S rules are bandit's too, and look at
# all of the code; bandit itself looks at what gets into the images.
CHECKS += check-bandit check-advisories
LOCKS := requirements.lock observability/preview.lock $(wildcard deploy/tools/*.lock)
SHIPPED := $(PACKAGES:%=%/src)

.PHONY: check-bandit check-advisories
check-bandit: $(INSTALLED) .cache/tools/security/.done
	@.cache/tools/security/bin/bandit --quiet --recursive --configfile pyproject.toml \
		--confidence-level medium $(SHIPPED) >.venv/bandit.txt 2>&1 || { cat .venv/bandit.txt; exit 1; }
	@echo "ok  bandit"

# REQUIRE=advisories: a service that does not answer fails the check, as CI with a network wants it.
check-advisories: $(INSTALLED) .cache/tools/security/.done
	@.venv/bin/python deploy/tools/audit_dependencies.py .cache/tools/security/bin/pip-audit $(LOCKS) \
		$(if $(findstring advisories,$(REQUIRE)),--required)
