"""Who may do what: every route of the page, and the role it asks for, in one table."""

from enum import IntEnum


class Role(IntEnum):
    """From those who may do nothing to those who may do everything."""

    PUBLIC = 0  # Asked of nobody: signing in itself, probes, style sheets.
    VIEWER = 1  # Sees everything.
    OPERATOR = 2  # Pays, and decides about dead letters.

    @property
    def word(self) -> str:
        """As people read it."""
        return self.name.capitalize()


ROUTES = {
    "static": Role.PUBLIC,
    "control.health": Role.PUBLIC,
    "control.livez": Role.PUBLIC,
    "control.readyz": Role.PUBLIC,
    "control.metrics": Role.PUBLIC,  # Counts, for Prometheus; it has no browser to sign in with.
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
    "accounts.show": Role.VIEWER,
    "accounts.statement_csv": Role.VIEWER,
    "activity.index": Role.VIEWER,
    "live.live": Role.VIEWER,
    "operate.overview": Role.VIEWER,
    "operate.ask": Role.OPERATOR,
    "operate.act": Role.OPERATOR,
    "operate.ask_which": Role.OPERATOR,
    "operate.replay_by_filter": Role.OPERATOR,
}


def role_of_route(endpoint: str | None) -> Role:
    """What a route asks for. What is not in the table asks for most; no route at all for least
    beyond nothing: that there is no such page is told to those who may see pages."""
    if endpoint is None:
        return Role.VIEWER
    return ROUTES.get(endpoint, Role.OPERATOR)
