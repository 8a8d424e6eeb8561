"""Cookies' names."""


def cookie_name(name: str, *, https: bool) -> str:
    """Return a cookie's name; over https with a prefix that keeps other hosts from setting it."""
    return f"__Host-{name}" if https else name
