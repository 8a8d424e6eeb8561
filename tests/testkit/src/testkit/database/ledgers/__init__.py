"""Settled and sealed ledgers, and ways to break and to audit them."""
