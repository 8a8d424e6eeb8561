"""Certificates, proxies and readiness."""
