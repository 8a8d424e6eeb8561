"""Metrics of the page, in addition to those of requests and of the process."""

from prometheus_client import Counter, Gauge, Histogram

API_SECONDS = Histogram(
    "payments_ui_api_request_duration_seconds",
    "Duration of requests to payments-api",
    ["method", "outcome"],
)
LIVE_PAGES = Gauge("payments_ui_live_pages", "Open pages with live updates")
LIVE_PAGES_CUT_OFF = Counter(
    "payments_ui_live_pages_cut_off", "Pages disconnected because they read nothing"
)
STREAM_CONNECTED = Gauge(
    "payments_ui_stream_connected", "1 while the API's event stream is connected"
)
STREAM_CONNECTS = Counter("payments_ui_stream_connects", "Connections to the API's event stream")
SIGN_INS = Counter("payments_ui_sign_ins", "Sign-ins by method and outcome", ["way", "outcome"])
SIGN_IN_OUTCOMES = {
    "password": ("succeeded", "wrong_password", "throttled"),
    "oidc": (
        *("succeeded", "denied", "no_role", "unknown_state"),
        *("provider_unavailable", "provider_refused", "id_token_invalid"),
    ),
}
SIGN_OUTS = Counter("payments_ui_sign_outs", "Sign-outs by users")


def show_sign_ins(way: str) -> None:
    """Expose every outcome at zero: a rate misses the first event of a series that starts at 1."""
    for outcome in SIGN_IN_OUTCOMES.get(way, ()):
        SIGN_INS.labels(way, outcome)
