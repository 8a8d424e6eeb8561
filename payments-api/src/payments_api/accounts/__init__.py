"""Accounts: balance, statement, currencies."""
