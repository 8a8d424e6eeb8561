"""A system with a life of its own, so that dashboards have something to show."""
