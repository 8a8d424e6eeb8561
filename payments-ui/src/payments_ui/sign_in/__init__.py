"""Sign-in: authentication, sessions and roles."""
