"""Sealing: a chain of hashes over the ledger, and its verification."""
