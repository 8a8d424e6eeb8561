AS_CODE := env PYTHONPATH=observability .venv/bin/python -m as_code
CHECKS += check-observability

##@ Observe
.PHONY: observability check-observability demo dashboards-preview
observability: $(INSTALLED) ## Write rules and dashboards from observability/as_code
	@$(AS_CODE)

check-observability: $(INSTALLED)
	@$(AS_CODE) --check
	@if command -v promtool >/dev/null; then \
		promtool check rules --lint=all --lint-fatal observability/prometheus/rules/*.yaml >/dev/null \
		&& promtool check config --syntax-only observability/prometheus/prometheus.yaml >/dev/null; \
	fi
	@echo "ok  observability"
