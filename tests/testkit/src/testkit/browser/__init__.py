"""Chromium before a whole system, and the screenshots of the documents."""
