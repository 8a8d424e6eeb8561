"""The client of payments-api."""
