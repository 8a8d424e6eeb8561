"""The payments REST API; owns the schema."""
