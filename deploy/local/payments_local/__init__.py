"""The whole system on this machine, without containers or an installed Postgres (`make up`)."""
