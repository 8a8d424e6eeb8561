# A site with no image registry: an engine and base images from Debian packages.

##@ No registry
.PHONY: airgap engine engine-stop

airgap: ## Base images from Debian packages, for a machine that reaches no image registry
	deploy/airgap/engine install
	deploy/airgap/engine start
	deploy/airgap/build-base-images

engine: ## A container engine (Debian, root): installed if absent, started if none answers
	deploy/airgap/engine install
	deploy/airgap/engine start

engine-stop: ## Stops the engine `make engine` started, and no other
	deploy/airgap/engine stop
