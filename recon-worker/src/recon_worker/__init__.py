"""Claims reconciliation jobs, applies the rules, posts the ledger."""
