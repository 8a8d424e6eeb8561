"""Protection of the page in browsers: forged forms, foreign scripts, framing, downgraded https."""

import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

from itsdangerous import BadData, URLSafeSerializer
from quart import Quart, Response, current_app, request, session

from payments_core.http.uploads import StreamingRequest

NONCE = "n"  # Key of the nonce in Quart's session, itself a signed HttpOnly cookie.
FIELD = "csrf"  # Name of the token's field, which every form that changes data has.
HEADER = "Payments-Form"  # Of an upload by the page's script, whose body is a file.
UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
HSTS_SECONDS = 365 * 24 * 3600

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class CsrfFailed(Exception):
    """The form's token is not of this browser and session."""


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.secret_key or "", salt="payments-ui.csrf")


def protect(app: Quart, session_id: Callable[[], str], *, https: bool) -> None:
    """Check every form and set the headers of every response.

    `session_id` returns the id of the current request's session, "" without one: a form's token
    is valid only in the browser and the session that it was drawn for.
    """
    headers = dict(HEADERS)
    if https:
        headers["Strict-Transport-Security"] = f"max-age={HSTS_SECONDS}"

    def csrf_token() -> str:
        if NONCE not in session:
            session[NONCE] = secrets.token_urlsafe(18)
            session.permanent = True
        return str(_serializer().dumps([session[NONCE], session_id()]))

    async def refuse_forgeries() -> None:
        if request.method not in UNSAFE_METHODS:
            return
        _check_origin()
        token = await _sent_token()
        try:
            content = _serializer().loads(token)
        except BadData:
            raise CsrfFailed from None
        if NONCE not in session or content != [session[NONCE], session_id()]:
            raise CsrfFailed

    async def add_headers(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        # Pages show balances, so no cache may keep them.
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    app.before_request(refuse_forgeries)
    app.after_request(add_headers)
    app.jinja_env.globals["csrf_token"] = csrf_token


async def _sent_token() -> str:
    """Return the token of a form, or the header's of an upload, whose body is a file."""
    if isinstance(request, StreamingRequest) and request.is_upload:
        return request.headers.get(HEADER, "")
    return str((await request.form).get(FIELD, ""))


def _check_origin() -> None:
    """Raise CsrfFailed if the browser says that another site sent the request."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None and site not in {"same-origin", "none"}:
        raise CsrfFailed
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise CsrfFailed
