"""Payments API: rate, errors, duration, and what stands behind them."""

from as_code.panels import GREEN, RED, YELLOW, Query, board, figure, lines
from as_code.queries import BURN_ABOUT, burn, mean, percentiles, quantile, rate
from as_code.slos import PROBES

_API = 'job="payments-api"'
_ASKED = f'{_API},http_route!~"{PROBES}"'
_CREATE = f'{_API},http_route="/payments",method="POST"'

API = board(
    "payments-api",
    "Payments API",
    "Rate, errors and duration of requests, and what stands behind them.",
    (
        (
            "Now",
            (
                figure(
                    "Payments created per second",
                    "New ones; replays of a known key are not among them.",
                    "ops",
                    Query(rate("payments_created_total"), "created/s"),
                ),
                figure(
                    "Create, p99",
                    "POST /payments. Promised: 99 % within 250 ms.",
                    "s",
                    Query(
                        quantile(0.99, f"http_server_request_duration_seconds_bucket{{{_CREATE}}}"),
                        "p99",
                    ),
                    ((None, GREEN), (0.1, YELLOW), (0.25, RED)),
                ),
                figure(
                    "Answers with 5xx",
                    "Share of all answers, over five minutes. Promised: below 0.1 %.",
                    "percentunit",
                    Query('slo:bad_ratio:rate5m{slo="api-availability"}', "5xx"),
                    ((None, GREEN), (0.0005, YELLOW), (0.001, RED)),
                ),
                figure(
                    "Requests under way",
                    "Open event streams included.",
                    "short",
                    Query(f"sum(http_server_requests_in_progress{{{_API}}})", "requests"),
                ),
                figure(
                    "Event streams",
                    "Clients that follow GET /payments/events.",
                    "short",
                    Query("sum(payments_api_event_readers)", "streams"),
                ),
                figure(
                    "Release",
                    "The versions that answer now.",
                    "short",
                    Query(f"count by (version) (payments_build_info{{{_API}}})", "{{version}}"),
                ),
            ),
        ),
        (
            "Requests",
            (
                lines(
                    "Requests per second, by status",
                    "Probes and scrapes are left out.",
                    "reqps",
                    Query(rate(f"http_server_requests_total{{{_ASKED}}}", "status"), "{{status}}"),
                    width=8,
                    stacked=True,
                ),
                lines(
                    "Requests per second, by route",
                    "Routes are the API's own templates; unmatched is everything else.",
                    "reqps",
                    Query(
                        rate(f"http_server_requests_total{{{_ASKED}}}", "method, http_route"),
                        "{{method}} {{http_route}}",
                    ),
                    width=8,
                    stacked=True,
                ),
                lines(
                    "Time to create a payment",
                    "Until the payment is committed and answered. The dots lead to traces.",
                    "s",
                    *percentiles(
                        f"http_server_request_duration_seconds_bucket{{{_CREATE}}}",
                        exemplars=True,
                    ),
                    width=8,
                ),
                lines(
                    "Time to answer, p95 by route",
                    "Of an event stream: until it began.",
                    "s",
                    Query(
                        quantile(
                            0.95,
                            f"http_server_request_duration_seconds_bucket{{{_ASKED}}}",
                            "le, method, http_route",
                        ),
                        "{{method}} {{http_route}}",
                    ),
                ),
                lines(
                    "Use of the error budgets",
                    BURN_ABOUT,
                    "none",
                    burn("api-availability"),
                    burn("api-latency"),
                ),
            ),
        ),
        (
            "Payments",
            (
                lines(
                    "Created and replayed per second",
                    "A replay is the stored answer, given again to a key that is known.",
                    "ops",
                    Query(rate("payments_created_total"), "created"),
                    Query(rate("payments_replayed_total"), "replayed"),
                    width=8,
                ),
                lines(
                    "Refused per second, by reason",
                    "The codes of the problem documents that clients get.",
                    "ops",
                    Query(rate("payments_rejected_total", "reason"), "{{reason}}"),
                    width=8,
                    stacked=True,
                ),
                lines(
                    "Requests refused for their key, by reason",
                    "A revoked or expired key that goes on being sent is a forgotten client, or "
                    "one that leaked. scope: the key is good, and does not allow this.",
                    "reqps",
                    Query(rate("payments_api_auth_refusals_total", "reason"), "{{reason}}"),
                    width=8,
                    stacked=True,
                ),
                lines(
                    "Payments that share a statement",
                    "Requests that come while one statement is under way go together into the "
                    "next: more of them at higher load.",
                    "short",
                    Query(mean("payments_api_statement_orders"), "mean"),
                    Query("sum(payments_api_waiting_orders)", "waiting"),
                    width=8,
                ),
                lines(
                    "Requests let in at once, at most",
                    "It shrinks when even the quickest request takes too long: the API is "
                    "overloaded, and refuses what is beyond it with 503.",
                    "short",
                    Query("sum by (kind) (payments_api_admitted_requests_max)", "{{kind}}"),
                    width=8,
                ),
            ),
        ),
        (
            "Resources",
            (
                lines(
                    "Connections of the pool",
                    "When used reaches the maximum, requests wait.",
                    "short",
                    Query(f"sum by (state) (db_pool_connections{{{_API}}})", "{{state}}"),
                    Query(f"sum(db_pool_connections_max{{{_API}}})", "maximum"),
                    width=6,
                ),
                lines(
                    "Wait for a connection",
                    "Beyond a few milliseconds the pool is too small, or Postgres too slow.",
                    "s",
                    Query(quantile(0.5, f"db_pool_wait_seconds_bucket{{{_API}}}"), "p50"),
                    Query(quantile(0.99, f"db_pool_wait_seconds_bucket{{{_API}}}"), "p99"),
                    width=6,
                ),
                lines(
                    "Time of a statement that stores payments",
                    "Its commit to disk included.",
                    "s",
                    *percentiles("payments_api_statement_duration_seconds_bucket"),
                    width=6,
                ),
                lines(
                    "Processor use, by service",
                    "Cores. One process uses one core at most: then add replicas.",
                    "none",
                    Query(rate("process_cpu_seconds_total", "job"), "{{job}}"),
                    width=6,
                ),
            ),
        ),
    ),
)
