"""A long steady load, and the figures that grow under it."""
