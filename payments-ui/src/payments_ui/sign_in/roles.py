"""Roles, and the role that each route needs."""

from enum import IntEnum


class Role(IntEnum):
    """Roles in increasing order."""

    PUBLIC = 0  # No session: sign-in itself, probes, static files.
    VIEWER = 1  # Reads every page, without jobs' errors and holders.
    OPERATOR = 2  # Also pays, reverses, decides dead letters, manages webhooks.

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
    "payments.payments_csv": Role.VIEWER,
    "payments.search": Role.VIEWER,
    "payments.pay": Role.OPERATOR,
    "reversing.ask": Role.OPERATOR,
    "reversing.reverse": Role.OPERATOR,
    "accounts.index": Role.VIEWER,
    "accounts.show": Role.VIEWER,
    "accounts.statement_csv": Role.VIEWER,
    **dict.fromkeys(
        (
            *("statements.index", "statements.breaks", "statements.files", "statements.file"),
            *("statements.day", "statements.day_csv", "statements.line", "statements.break_"),
            *("statements.matches", "statements.match"),
        ),
        Role.VIEWER,
    ),
    **dict.fromkeys(
        (
            *("statement_acts.upload", "statement_acts.ask", "statement_acts.act"),
            *("statement_acts.ask_annotation", "statement_acts.annotate"),
        ),
        Role.OPERATOR,
    ),
    "activity.index": Role.VIEWER,
    "help.index": Role.VIEWER,
    "help.api_docs": Role.VIEWER,
    "help.api_style": Role.VIEWER,
    "help.api_openapi": Role.VIEWER,
    "live.live": Role.VIEWER,
    "webhooks.index": Role.VIEWER,
    "webhooks.show": Role.VIEWER,
    "webhooks.delivery": Role.VIEWER,
    "webhooks.new": Role.OPERATOR,
    "webhooks.create": Role.OPERATOR,
    "webhooks.edit": Role.OPERATOR,
    "webhooks.change": Role.OPERATOR,
    "webhooks.ask": Role.OPERATOR,
    "webhooks.act": Role.OPERATOR,
    "webhooks.ask_resend": Role.OPERATOR,
    "webhooks.resend": Role.OPERATOR,
    "operate.overview": Role.VIEWER,
    "operate.attention": Role.VIEWER,
    "operate.ask": Role.OPERATOR,
    "operate.act": Role.OPERATOR,
    "operate.ask_several": Role.OPERATOR,
    "operate.act_on_several": Role.OPERATOR,
}


def role_of_route(endpoint: str | None) -> Role:
    """Return the role that a route needs.

    A route missing from the table needs the highest role; a path without a route, a 404, a viewer.
    """
    if endpoint is None:
        return Role.VIEWER
    return ROUTES.get(endpoint, Role.OPERATOR)
