"""Operators' pages: the state of the system, and dead letters."""
