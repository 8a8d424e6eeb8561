"""The system as separate services of a development environment, started by automations.yaml."""
