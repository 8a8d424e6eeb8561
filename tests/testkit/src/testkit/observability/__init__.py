"""A system whose telemetry is collected: load, OTLP endpoint, Prometheus."""
