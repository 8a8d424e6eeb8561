"""A long steady load, and what grows under it."""
