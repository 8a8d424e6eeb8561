##@ Documents
.PHONY: openapi settings-docs events-docs
openapi: $(INSTALLED) ## Write docs/openapi.json from the code, and the page's types from it
	@.venv/bin/payments-api openapi >docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json
	@$(MAKE) api-types

settings-docs: $(INSTALLED) ## Write docs/settings.md from the settings classes
	@.venv/bin/python docs/generate_settings.py

events-docs: $(INSTALLED) ## Write docs/events.md from the types of events
	@.venv/bin/python docs/generate_events.py
