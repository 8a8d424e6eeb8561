"""Statements of banks and providers: upload, list, decide about quarantined ones."""
