"""Command lines: their frame, arguments, output and database."""
