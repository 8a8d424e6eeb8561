"""The worker: claim jobs under leases, wake up, report its heartbeat."""
