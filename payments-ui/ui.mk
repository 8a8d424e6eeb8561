##@ Page
.PHONY: screenshots
screenshots: $(INSTALLED) ## Take pictures of every page into docs/images (needs Chromium)
	@PYTHONPATH=deploy/local:tests/browser:tests/support .venv/bin/python tests/browser/screenshots.py

.PHONY: api-types check-api-types
api-types: $(INSTALLED) ## Write the page's API types from docs/openapi.json
	@.venv/bin/python payments-ui/generate_api_types.py

CHECKS += check-api-types
check-api-types: $(INSTALLED)
	@.venv/bin/python payments-ui/generate_api_types.py --check
	@echo "ok  api-types"
