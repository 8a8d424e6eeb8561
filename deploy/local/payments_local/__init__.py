"""The whole system on this machine, with no container and no installed Postgres (`make up`)."""
