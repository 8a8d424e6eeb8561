# Kubernetes: `make check` tests it offline; `make kind` or `kubectl apply -k deploy/k8s` runs it.

KUBECTL ?= $(shell command -v kubectl 2>/dev/null || echo .cache/tools/kubernetes/bin/kubectl)
KIND ?= kind
KIND_CLUSTER ?= payments
# Takes 140 s of processor time: each CI run builds all 432, elsewhere `make check-k8s` does.
ifdef CI
CHECKS += check-k8s
endif
export KUBECTL

##@ Kubernetes
.PHONY: kind kind-delete k8s-secrets check-k8s capacity
kind: $(INSTALLED) .cache/tools/kubernetes/.done ## Run the whole system on kind: create, load, apply, validate, forward ports
	@command -v $(KIND) >/dev/null || $(call fail,there is no kind here: install it or use any cluster with kubectl apply -k deploy/k8s)
	@deploy/k8s/kind-up "$(KIND)" "$(KIND_CLUSTER)" "$(KUBECTL)"

kind-delete: ## Delete the cluster that `make kind` created
	@$(KIND) delete cluster --name "$(KIND_CLUSTER)"

k8s-secrets: .cache/tools/kubernetes/.done ## Create the secrets that a cluster lacks, at random (NAMESPACE=payments)
	@$(KUBECTL) get namespace "$${NAMESPACE:-payments}" >/dev/null 2>&1 \
		|| $(KUBECTL) create namespace "$${NAMESPACE:-payments}" --save-config
	@"$(PYTHON)" deploy/k8s/components/generated-secrets/make_secrets.py kubectl "$${NAMESPACE:-payments}"

capacity: $(INSTALLED) ## Measure one payment's footprint, write the tables of docs/scale.md
	@.venv/bin/python -m benchmarks.capacity_model --measure
	@.venv/bin/python -m benchmarks.capacity_model --write

# Every combination of components; `make test` builds every pair.
check-k8s: $(INSTALLED) .cache/tools/kubernetes/.done ## Build and validate every combination of components
	@K8S_COMBINATIONS=all .venv/bin/python -m pytest -q tests/k8s/test_builds.py \
		>.venv/k8s.txt 2>&1 || { cat .venv/k8s.txt; exit 1; }
	@echo "ok  Kubernetes"
