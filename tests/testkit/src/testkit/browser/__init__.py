"""Chromium against a whole system, and the screenshots for the documents."""
