# For a site without an image registry: an engine and base images from Debian packages.

##@ Without a registry
.PHONY: airgap engine engine-stop

airgap: ## Build base images from Debian packages, for a machine without an image registry
	deploy/airgap/engine install
	deploy/airgap/engine start
	deploy/airgap/build-base-images

engine: ## Install and start a container engine, unless one answers (Debian, root)
	deploy/airgap/engine install
	deploy/airgap/engine start

engine-stop: ## Stop the engine that `make engine` started, and no other
	deploy/airgap/engine stop
