# The peers have their own dependencies, outside the project's locks, venv and images.
BENCHMARKS := .venv/bin/python -m benchmarks
BENCHMARK_TOOLS := .cache/tools/benchmarks
NODE_PEERS := benchmarks/peers/node
CHECKS += check-benchmarks

##@ Measure
.PHONY: bench bench-quick bench-report flamegraph lock-peers check-benchmarks benchmark-peers
bench: benchmark-peers $(if $(filter statements,$(ARGS)),.cache/tools/camt-readers/.done) ## Measure beside peers and limits; write results/*.json, plots and tables (ARGS="worker --minutes 10"; ARGS=--help)
	@$(BENCHMARKS) $(ARGS)
	@$(if $(filter --help -h,$(ARGS)),,$(MAKE) bench-report)

bench-quick: benchmark-peers ## Run every benchmark briefly, in two minutes at most; keep no figure (ARGS="worker create")
	@$(BENCHMARKS) --quick $(ARGS)
	@$(BENCHMARK_TOOLS)/bin/python -m benchmarks.plots --try

bench-report: $(BENCHMARK_TOOLS)/.done ## Draw the plots and write the tables of the last figures into the documents
	@$(BENCHMARK_TOOLS)/bin/python -m benchmarks.plots
	@$(BENCHMARKS).report --write
	@.venv/bin/python -m benchmarks.capacity_model --write

flamegraph: benchmark-peers ## Record API and worker at full load: docs/images/flamegraph-*.svg
	@$(BENCHMARKS).flamegraph

# Without node and npm their peers are skipped, and the figures say so.
benchmark-peers: $(INSTALLED) $(BENCHMARK_TOOLS)/.done
	@if command -v npm >/dev/null && command -v node >/dev/null; then \
		$(MAKE) $(NODE_PEERS)/node_modules/.done; \
	else echo "no node or npm here: the peers that need it are skipped"; fi

$(NODE_PEERS)/node_modules/.done: $(NODE_PEERS)/package-lock.json
	@npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(NODE_PEERS)
	@touch $@

lock-peers: ## Update the lock files of the benchmarks' peers (part of make tool-locks)
	@npm install --silent --package-lock-only --no-audit --no-fund --ignore-scripts --prefix $(NODE_PEERS)
	@"$(PYTHON)" -m benchmarks.peers.strip_lock $(NODE_PEERS)/package-lock.json

# The documents' tables match the kept figures.
check-benchmarks: $(INSTALLED)
	@$(BENCHMARKS).report --check
	@echo "ok  benchmarks"
