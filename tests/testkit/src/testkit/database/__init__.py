"""Rows stored directly, ledgers, servers, and measures of what queries cost."""
