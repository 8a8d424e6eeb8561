# Checks for dangerous code and vulnerable dependencies. ruff's S rules, which come from bandit, cover
# all code; bandit itself checks the code in the images.
CHECKS += check-bandit check-advisories
LOCKS := requirements.lock observability/preview.lock $(wildcard deploy/tools/*.lock)
SHIPPED := $(PACKAGES:%=%/src)

.PHONY: check-bandit check-advisories
check-bandit: $(INSTALLED) .cache/tools/security/.done
	@.cache/tools/security/bin/bandit --quiet --recursive --configfile pyproject.toml \
		--confidence-level medium $(SHIPPED) >.venv/bandit.txt 2>&1 || { cat .venv/bandit.txt; exit 1; }
	@echo "ok  bandit"

# REQUIRE=advisories: the check fails if no service answers, for CI with a network.
check-advisories: $(INSTALLED) .cache/tools/security/.done
	@.venv/bin/python deploy/tools/audit_dependencies.py .cache/tools/security/bin/pip-audit $(LOCKS) \
		$(if $(findstring advisories,$(REQUIRE)),--required)
