"""Limits: admission control and rate limits."""
