"""The HTTP server: its limits, and its start and stop."""
