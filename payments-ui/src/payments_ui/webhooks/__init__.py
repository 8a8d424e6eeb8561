"""Webhooks: endpoints, their secrets and deliveries."""
