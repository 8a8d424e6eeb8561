"""Server-sent events: one for each change of a payment."""
