"""HTTP for every service: addresses, problems, health, telemetry."""
