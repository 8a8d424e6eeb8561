"""Webhooks: endpoints with their secrets, deliveries, and the addresses to which none is sent."""
