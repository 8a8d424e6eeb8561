"""Postgres: connections, TLS, notifications, the schema."""
