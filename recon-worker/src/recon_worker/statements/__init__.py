"""Bank and provider statements: read, import, match against the ledger."""
