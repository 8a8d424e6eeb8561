"""What the API and the worker both do with statements: sources, receiving, deciding, reading."""
