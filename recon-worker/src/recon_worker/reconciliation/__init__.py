"""Reconciliation: the rules, and the posting of their decisions."""
