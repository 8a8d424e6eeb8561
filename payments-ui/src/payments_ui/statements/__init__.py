"""Statements of banks: sources, files, breaks, matching by hand, the reconciliation of a day."""
