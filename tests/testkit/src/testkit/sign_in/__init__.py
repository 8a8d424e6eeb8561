"""An OpenID Connect provider, and a browser's cookies for the page."""
