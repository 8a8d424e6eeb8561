"""The domain: money and payments. It imports no other module of this project."""
