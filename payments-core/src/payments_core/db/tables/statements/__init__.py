"""The tables of statements: files and lines, matches, breaks and adjustments."""
