"""What the system does per second, measured beside what bounds it, in one run."""
