"""The faults: of processes, of Postgres, of the network."""
