"""The real API, worker and Postgres, driven at random and compared with a model."""
