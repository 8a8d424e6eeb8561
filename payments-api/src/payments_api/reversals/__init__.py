"""Reversals of payments: create, list, read."""
