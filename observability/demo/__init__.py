"""A system under a simulated load, so that dashboards show data."""
