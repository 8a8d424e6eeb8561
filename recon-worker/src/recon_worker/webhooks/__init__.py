"""Webhooks: fan the event log out into deliveries, and send them until they are accepted."""
