"""Responses to requests without a session, or without the role they need."""

import logging

from quart import Quart, Response, request
from quart.typing import ResponseReturnValue

from payments_ui.sign_in.guard import NotAllowed, SignedOut, current_page, current_session
from payments_ui.sign_in.next_page import sign_in_path
from payments_ui.web.errors import error_page
from payments_ui.web.responses import from_htmx, see_other

log = logging.getLogger(__name__)


def install_sign_in_errors(app: Quart) -> None:
    """Handle SignedOut and NotAllowed."""

    @app.errorhandler(SignedOut)
    async def signed_out(_: SignedOut) -> ResponseReturnValue:
        path = sign_in_path(current_page())
        if from_htmx():
            return Response("", 401, {"HX-Redirect": path})
        return see_other(path)

    @app.errorhandler(NotAllowed)
    async def not_allowed(_: NotAllowed) -> ResponseReturnValue:
        session = current_session()
        operator = session.person.name if session else None
        log.warning("access_denied", extra={"operator": operator, "endpoint": request.endpoint})
        return await error_page(
            403,
            "Only operators may do this",
            "You are signed in as a viewer, who sees everything and changes nothing. "
            "Nothing was changed.",
        )
