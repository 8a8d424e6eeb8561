"""The schema's revisions."""
