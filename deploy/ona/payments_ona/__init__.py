"""The system as separate services of a development environment: what automations.yaml starts."""
