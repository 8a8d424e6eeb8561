"""The money, tables, queue and HTTP code that the services share. It imports no service."""
