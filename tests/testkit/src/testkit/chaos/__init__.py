"""The fault suite: the whole system under load while everything around it breaks, by a seed."""
