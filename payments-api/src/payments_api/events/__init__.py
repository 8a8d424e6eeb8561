"""The event log, and server-sent events: one for each change of a payment."""
