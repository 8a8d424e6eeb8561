"""Authentication and authorisation: API keys, scopes, tenants, operators."""
