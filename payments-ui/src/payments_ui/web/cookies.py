"""Cookies' names."""


def cookie_name(name: str, *, https: bool) -> str:
    """Return the name of a cookie with Path=/; over https one that no other host can set."""
    return f"__Host-{name}" if https else name
