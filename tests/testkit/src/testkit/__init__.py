"""Shared test code: waits, servers, databases, whole systems and the fault suite."""
