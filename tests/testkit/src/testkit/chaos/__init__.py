"""The fault suite: the whole system under load, with faults injected from a seed."""
