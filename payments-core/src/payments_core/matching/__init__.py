"""Matching of statement lines with ledger entries: acts of people, breaks and the bridge."""
