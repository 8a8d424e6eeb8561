"""Webhooks: endpoints, their secrets, and what was sent to them."""
