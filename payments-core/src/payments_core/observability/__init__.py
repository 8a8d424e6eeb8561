"""Logs, traces and metrics that every service shares."""
