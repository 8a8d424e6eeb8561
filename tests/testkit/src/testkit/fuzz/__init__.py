"""Properties over any input, and schemathesis against a running API."""
