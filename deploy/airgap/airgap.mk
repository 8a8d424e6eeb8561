# For a site without an image registry: an engine and base images from Debian packages.

##@ Without a registry
.PHONY: airgap engine engine-stop site-release

airgap: ## Build base images from Debian packages, for a machine without an image registry
	deploy/airgap/engine install
	deploy/airgap/engine start
	deploy/airgap/build-base-images

engine: ## Install and start a container engine, unless one answers (Debian, root)
	deploy/airgap/engine install
	deploy/airgap/engine start

site-release: ## Build a site's images and overlay: REGISTRY=, VERSION=; SAVE=FILE saves instead of pushing
	@deploy/airgap/site-release "$(REGISTRY)" "$(VERSION)" "$(SAVE)" "$(OVERLAY)"

engine-stop: ## Stop the engine that `make engine` started, and no other
	deploy/airgap/engine stop
