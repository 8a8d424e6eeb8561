"""An OpenID Connect provider, and a browser's cookies before the page."""
