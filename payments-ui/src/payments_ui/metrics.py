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
