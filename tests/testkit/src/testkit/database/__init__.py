"""Backlogs, settled and sealed ledgers, a pooler, and a model of the ledger."""
