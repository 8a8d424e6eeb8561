"""The cookies of a sign-in by the provider: unfinished sign-ins, and the ID token for sign-out."""

from time import time

from quart import Response, request

from payments_ui.sign_in.guard import SignIn
from payments_ui.sign_in.oidc import Begun
from payments_ui.web.cookies import cookie_name

TRANSACTION_COOKIE = "payments_ui_oidc"
TRANSACTION_SECONDS = 600  # Longest time at the provider.
TRANSACTIONS_MAX = 4  # Concurrent sign-ins of one browser.
ID_TOKEN_COOKIE = "payments_ui_id_token"  # noqa: S105 - a name  # nosec B105
ID_TOKEN_PATH = "/sign-out"  # noqa: S105 - a path  # nosec B105
COOKIE_CHARS_MAX = 3800  # Browsers accept 4,096 bytes, name and attributes included.

Transactions = dict[str, list[str | float]]  # By state: nonce, code verifier, page, end.


def transactions_of(auth: SignIn) -> Transactions:
    """Return the browser's unfinished sign-ins."""
    content = auth.transactions.open(request.cookies.get(_transaction_cookie(auth)))
    return {
        state: begun
        for state, begun in (content if isinstance(content, dict) else {}).items()
        if begun[3] > time()
    }


def add_transaction(transactions: Transactions, begun: Begun, page: str) -> None:
    """Add a sign-in that leads to the page."""
    ends_at = time() + TRANSACTION_SECONDS
    transactions[begun.state] = [begun.nonce, begun.code_verifier, page, ends_at]


def keep_transactions(response: Response, auth: SignIn, transactions: Transactions) -> None:
    """Set the cookie to the newest of these sign-ins, or delete it without any."""
    kept = dict(list(transactions.items())[-TRANSACTIONS_MAX:])
    response.set_cookie(
        _transaction_cookie(auth),
        auth.transactions.seal(kept) if kept else "",
        max_age=TRANSACTION_SECONDS if kept else 0,
        path="/",
        secure=auth.https,
        httponly=True,
        samesite="Lax",  # The provider's answer is a link from its site.
    )


def keep_id_token(response: Response, auth: SignIn, id_token: str) -> None:
    """Set the cookie with the ID token, unless it is too long; only sign-out needs it."""
    sealed = auth.id_tokens.seal(id_token)
    if len(sealed) > COOKIE_CHARS_MAX:
        return
    response.set_cookie(
        _id_token_cookie(auth),
        sealed,
        max_age=auth.sessions.seconds_max,
        path=ID_TOKEN_PATH,
        secure=auth.https,
        httponly=True,
        samesite="Strict",
    )


def id_token_of(auth: SignIn) -> str | None:
    """Return the browser's ID token, or None."""
    token = auth.id_tokens.open(request.cookies.get(_id_token_cookie(auth)))
    return token if isinstance(token, str) else None


def delete_id_token(response: Response, auth: SignIn) -> None:
    """Delete the cookie with the ID token."""
    response.delete_cookie(
        _id_token_cookie(auth), path=ID_TOKEN_PATH, secure=auth.https, httponly=True
    )


def _transaction_cookie(auth: SignIn) -> str:
    # Another host of the domain must not be able to set it, and so sign the user in as another.
    return cookie_name(TRANSACTION_COOKIE, https=auth.https)


def _id_token_cookie(auth: SignIn) -> str:
    # Large, so only /sign-out gets it; the prefix __Host- would demand Path=/.
    return f"__Secure-{ID_TOKEN_COOKIE}" if auth.https else ID_TOKEN_COOKIE
