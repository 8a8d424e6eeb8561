"""Roles, and the role that each route needs."""

from enum import IntEnum


class Role(IntEnum):
    """Roles in increasing order."""

    PUBLIC = 0  # No session: sign-in itself, probes, static files.
    VIEWER = 1  # Reads every page, without jobs' errors and holders.
    OPERATOR = 2  # Also pays and decides dead letters.

    @property
    def word(self) -> str:
        """Return the role's name for people."""
        return self.name.capitalize()


ROUTES = {
    "static": Role.PUBLIC,
    "control.health": Role.PUBLIC,
    "control.livez": Role.PUBLIC,
    "control.readyz": Role.PUBLIC,
    "control.metrics": Role.PUBLIC,  # Prometheus cannot sign in.
    "sign_in.page": Role.PUBLIC,
    "sign_in.by_password": Role.PUBLIC,
    "sign_in.start": Role.PUBLIC,
    "sign_in.callback": Role.PUBLIC,
    "sign_in.sign_out": Role.PUBLIC,
    "sign_in.signed_out": Role.PUBLIC,
    "payments.index": Role.VIEWER,
    "payments.old_index": Role.VIEWER,
    "payments.show": Role.VIEWER,
    "payments.search": Role.VIEWER,
    "payments.pay": Role.OPERATOR,
    "accounts.index": Role.VIEWER,
    "accounts.show": Role.VIEWER,
    "accounts.statement_csv": Role.VIEWER,
    "activity.index": Role.VIEWER,
    "live.live": Role.VIEWER,
    "operate.overview": Role.VIEWER,
    "operate.attention": Role.VIEWER,
    "operate.ask": Role.OPERATOR,
    "operate.act": Role.OPERATOR,
    "operate.ask_which": Role.OPERATOR,
    "operate.replay_by_filter": Role.OPERATOR,
}


def role_of_route(endpoint: str | None) -> Role:
    """Return the role that a route needs.

    A route that is missing in the table needs the highest. No route, a 404, needs a viewer.
    """
    if endpoint is None:
        return Role.VIEWER
    return ROUTES.get(endpoint, Role.OPERATOR)
