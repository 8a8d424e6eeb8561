"""The specifications of routes, one module for each room."""
