##@ Documents
.PHONY: openapi settings-docs
openapi: $(INSTALLED) ## Write docs/openapi.json from the code
	@.venv/bin/payments-api openapi >docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json

settings-docs: $(INSTALLED) ## Write docs/settings.md from the settings classes
	@.venv/bin/python docs/generate_settings.py
