"""Live updates: the API's event stream, fanned out to open pages."""
