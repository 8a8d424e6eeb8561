"""What Prometheus reads at /metrics, beside requests and the process's own figures."""

from prometheus_client import Counter, Gauge, Histogram

API_SECONDS = Histogram(
    "payments_ui_api_request_duration_seconds",
    "Time that payments-api took to answer",
    ["method", "outcome"],
)
LIVE_PAGES = Gauge("payments_ui_live_pages", "Pages that listen to changes now")
LIVE_PAGES_CUT_OFF = Counter(
    "payments_ui_live_pages_cut_off", "Pages cut off because they read nothing"
)
STREAM_CONNECTED = Gauge(
    "payments_ui_stream_connected", "1 while the API's event stream is connected"
)
STREAM_CONNECTS = Counter(
    "payments_ui_stream_connects", "Connections made to the API's event stream"
)
SIGN_INS = Counter("payments_ui_sign_ins", "Sign-ins, and what became of them", ["way", "outcome"])
SIGN_IN_OUTCOMES = {
    "password": ("succeeded", "wrong_password", "throttled"),
    "oidc": (
        *("succeeded", "denied", "no_role", "unknown_state"),
        *("provider_unavailable", "provider_refused", "id_token_invalid"),
    ),
}
SIGN_OUTS = Counter("payments_ui_sign_outs", "Sign-outs asked for by people")


def show_sign_ins(way: str) -> None:
    """Show every outcome from the start: a rate sees the first of them only from zero on."""
    for outcome in SIGN_IN_OUTCOMES.get(way, ()):
        SIGN_INS.labels(way, outcome)
