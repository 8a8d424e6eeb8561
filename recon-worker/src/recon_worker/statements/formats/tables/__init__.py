"""Statements as tables: CSV by a declared profile, and reports of providers."""
