"""Pages: an account, its balance and statement."""
