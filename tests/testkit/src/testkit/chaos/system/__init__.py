"""The system under faults: database, pooler, services, and the lines between them."""
