# The images, their bills of materials, and the composed system.

SERVICES := payments-api recon-worker payments-ui
DOCKERFILES := $(SERVICES:%=%/Dockerfile) \
	$(wildcard deploy/airgap/*.Dockerfile tests/containers/*/*.Dockerfile)
SBOM_DIR ?= build/sbom
SBOM_IN_IMAGE := /usr/share/sbom/image.cdx.json
CHECKS += check-dockerfiles check-compose check-deploy-types check-shell
SHELL_SCRIPTS := $(addprefix deploy/airgap/,engine build-base-images postgres-entrypoint site-release) \
	$(addprefix deploy/images/,minimal-root python-root) deploy/compose/password deploy/k8s/kind-up \
	.devcontainer/setup.sh .ci/run
git-version = $$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
git-revision = $$(git rev-parse HEAD 2>/dev/null || echo unknown)

##@ Containers
.PHONY: images sbom check-dockerfiles check-compose check-deploy-types check-shell
images: ## Build the three images as IMAGE_TAG (dev), labelled with git's version
	@VERSION="$(git-version)" REVISION="$(git-revision)" docker compose build --quiet $(SERVICES)
	@for name in $(SERVICES); do docker image ls --format '{{.Repository}}:{{.Tag}}  {{.Size}}' \
		"$$name:$${IMAGE_TAG:-dev}"; done

sbom: $(INSTALLED) .cache/tools/sbom/.done ## Write each image's bill of materials as CycloneDX: build/sbom/*.cdx.json
	@mkdir -p $(SBOM_DIR)
	@set -e; for name in $(SERVICES); do bill=$(SBOM_DIR)/$$name.cdx.json; \
		if container=$$(docker create "$$name:$${IMAGE_TAG:-dev}" 2>/dev/null); then \
			docker cp --quiet "$$container:$(SBOM_IN_IMAGE)" $$bill; \
			docker rm "$$container" >/dev/null; \
			echo "$$bill"; continue; \
		fi; \
		.venv/bin/python deploy/images/service_requirements.py $$name --in-image \
			>$(SBOM_DIR)/$$name.txt; \
		PYTHONWARNINGS=ignore .cache/tools/sbom/bin/cyclonedx-py requirements \
			$(SBOM_DIR)/$$name.txt --pyproject $$name/pyproject.toml --mc-type application \
			--output-reproducible $(SBOM_OPTIONS) --output-file $$bill; \
		rm $(SBOM_DIR)/$$name.txt; \
		echo "$$bill (Python alone, of the lock: make images first for what an image holds)"; \
	done

check-dockerfiles: $(INSTALLED) .cache/tools/hadolint/.done
	@.cache/tools/hadolint/bin/hadolint $(DOCKERFILES)
	@echo "ok  Dockerfiles"

check-compose:
	@if docker compose version >/dev/null 2>&1; then \
		docker compose --profile load --profile observability config --quiet && echo "ok  compose"; \
	else echo "--  compose: no docker compose here"; fi

check-deploy-types: $(INSTALLED)
	@MYPYPATH=deploy/local:deploy/ona:deploy/images .venv/bin/mypy --no-error-summary deploy/ona/payments_ona \
		deploy/images deploy/compose
	@echo "ok  types of deploy"

check-shell:
	@if command -v shellcheck >/dev/null; then shellcheck $(SHELL_SCRIPTS) && echo "ok  shell"; \
	else echo "--  shell: no shellcheck here"; fi
