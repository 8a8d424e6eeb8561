"""The page of operator actions."""
