##@ Page
.PHONY: screenshots
screenshots: $(INSTALLED) ## Take pictures of every page into .data/screenshots, and the README's (needs Chromium)
	@.venv/bin/python -m testkit.browser.screenshots

.PHONY: api-types check-api-types
api-types: $(INSTALLED) ## Write the page's API types from docs/openapi.json
	@.venv/bin/python payments-ui/generate_api_types.py

CHECKS += check-api-types
check-api-types: $(INSTALLED)
	@.venv/bin/python payments-ui/generate_api_types.py --check
	@echo "ok  api-types"
