"""Reconciliation: rules, and posting what they decide."""
