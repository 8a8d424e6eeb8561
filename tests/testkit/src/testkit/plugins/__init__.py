"""pytest plugins that the root conftest.py loads."""
