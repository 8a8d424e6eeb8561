"""What keeps others from using the page in the reader's name, or from running code in it."""

import secrets
from urllib.parse import urlsplit

from itsdangerous import BadData, URLSafeSerializer
from quart import Quart, Response, current_app, request, session

NONCE = "n"  # Of the session, itself a signed HttpOnly cookie.
FIELD = "csrf"  # Of every form that changes something.
UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})

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
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class CsrfFailed(Exception):
    """The form does not come from a page that this service has drawn for this reader."""


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.secret_key or "", salt="payments-ui.csrf")


def csrf_token() -> str:
    """What a form carries: the session's nonce, signed for forms."""
    if NONCE not in session:
        session[NONCE] = secrets.token_urlsafe(18)
        session.permanent = True
    return str(_serializer().dumps(session[NONCE]))


async def refuse_forgeries() -> None:
    """Before every request. Raises CsrfFailed for a change that this page did not ask for."""
    if request.method not in UNSAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None and site not in {"same-origin", "none"}:
        raise CsrfFailed
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise CsrfFailed
    try:
        sent = _serializer().loads((await request.form).get(FIELD, ""))
    except BadData:
        raise CsrfFailed from None
    if not secrets.compare_digest(str(sent), str(session.get(NONCE, ""))):
        raise CsrfFailed


async def add_headers(response: Response) -> Response:
    """After every request."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    # Pages show balances: nothing keeps a copy of them.
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def protect(app: Quart) -> None:
    """Put the guards on the app."""
    app.before_request(refuse_forgeries)
    app.after_request(add_headers)
    app.jinja_env.globals["csrf_token"] = csrf_token
