##@ Page
.PHONY: screenshots
screenshots: $(INSTALLED) ## Take pictures of every page into docs/images (needs Chromium)
	@PYTHONPATH=deploy/local:tests/browser:tests/support .venv/bin/python tests/browser/screenshots.py
