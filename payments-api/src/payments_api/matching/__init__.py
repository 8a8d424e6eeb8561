"""Matching over HTTP: reports, runs, breaks, lines, open entries, and acts of people."""
