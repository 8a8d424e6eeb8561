"""Faults of processes, of Postgres and of the network."""
