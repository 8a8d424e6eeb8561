"""Payments: create, read, list."""
