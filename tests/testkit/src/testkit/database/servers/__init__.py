"""Servers in front of and behind a primary: a pooler, a standby."""
