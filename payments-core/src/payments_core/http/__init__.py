"""What every service answers over HTTP: problems, health, telemetry."""
