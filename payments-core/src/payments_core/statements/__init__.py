"""Statements, as the API and the worker both use them: sources, files, decisions, readers."""
