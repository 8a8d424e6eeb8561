"""Payments API: rate, errors and duration of requests, and the resources behind them."""

from as_code.panels import GREEN, RED, YELLOW, Query, board, figure, lines
from as_code.queries import BURN_ABOUT, burn, mean, percentiles, quantile, rate
from as_code.slos import PROBES

_API = 'job="payments-api"'
_ASKED = f'{_API},http_route!~"{PROBES}"'
_CREATE = f'{_API},http_route="/payments",method="POST"'

API = board(
    "payments-api",
    "Payments API",
    "Rate, errors and duration of requests, and the resources behind them.",
    (
        (
            "Now",
            (
                figure(
                    "Payments created per second",
                    "New payments, without replays of a known key.",
                    "ops",
                    Query(rate("payments_created_total"), "created/s"),
                ),
                figure(
                    "Create, p99",
                    "POST /payments. Objective: 99 % within 250 ms.",
                    "s",
                    Query(
                        quantile(0.99, f"http_server_request_duration_seconds_bucket{{{_CREATE}}}"),
                        "p99",
                    ),
                    ((None, GREEN), (0.1, YELLOW), (0.25, RED)),
                ),
                figure(
                    "Answers with 5xx",
                    "Share of all answers, over five minutes. Objective: below 0.1 %.",
                    "percentunit",
                    Query('slo:bad_ratio:rate5m{slo="api-availability"}', "5xx"),
                    ((None, GREEN), (0.0005, YELLOW), (0.001, RED)),
                ),
                figure(
                    "Requests in progress",
                    "Including open event streams.",
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
                    "The running versions.",
                    "short",
                    Query(f"count by (version) (payments_build_info{{{_API}}})", "{{version}}"),
                    named=True,
                ),
            ),
        ),
        (
            "Requests",
            (
                lines(
                    "Requests per second, by status",
                    "Without probes and scrapes.",
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
                    "For an event stream, the time until it starts.",
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
                    "Error budget burn",
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
                    "A replay returns the stored answer of a known key.",
                    "ops",
                    Query(rate("payments_created_total"), "created"),
                    Query(rate("payments_replayed_total"), "replayed"),
                    width=8,
                ),
                lines(
                    "Creations rejected per second, by reason",
                    "The codes of the problem documents that clients get.",
                    "ops",
                    Query(rate("payments_rejected_total", "reason"), "{{reason}}"),
                    width=8,
                    stacked=True,
                ),
                lines(
                    "Requests rejected for their API key, by reason",
                    "A revoked or expired key still in use: a forgotten client, or a leaked key. "
                    "scope: the key is valid but does not allow the request.",
                    "reqps",
                    Query(rate("payments_api_auth_refusals_total", "reason"), "{{reason}}"),
                    width=8,
                    stacked=True,
                ),
                lines(
                    "Payments that share a statement",
                    "Requests that arrive during one statement share the next one, so the number "
                    "grows with the load.",
                    "short",
                    Query(mean("payments_api_statement_payments"), "mean"),
                    Query("sum(payments_api_waiting_payments)", "waiting"),
                ),
                lines(
                    "Concurrency limit",
                    "It shrinks while even the quickest request takes too long. The API then "
                    "rejects requests above it with 503.",
                    "short",
                    Query("sum by (kind) (payments_api_admitted_requests_max)", "{{kind}}"),
                ),
            ),
        ),
        (
            "Reversals",
            (
                lines(
                    "Reversals created and replayed per second",
                    "A replay returns the stored answer of a known key.",
                    "ops",
                    Query(rate("reversals_created_total"), "created"),
                    Query(rate("reversals_replayed_total"), "replayed"),
                ),
                lines(
                    "Reversals rejected per second, by reason",
                    "reversal_exceeds_payment: more than is left of the payment. "
                    "payment_not_completed: too early, or the payment failed.",
                    "ops",
                    Query(rate("reversals_rejected_total", "reason"), "{{reason}}"),
                    stacked=True,
                ),
            ),
        ),
        (
            "Resources",
            (
                lines(
                    "Pool connections",
                    "Requests wait when used connections reach the maximum.",
                    "short",
                    Query(f"sum by (state) (db_pool_connections{{{_API}}})", "{{state}}"),
                    Query(f"sum(db_pool_connections_max{{{_API}}})", "maximum"),
                    width=6,
                ),
                lines(
                    "Wait for a connection",
                    "Above a few milliseconds the pool is too small or Postgres too slow.",
                    "s",
                    Query(quantile(0.5, f"db_pool_wait_seconds_bucket{{{_API}}}"), "p50"),
                    Query(quantile(0.99, f"db_pool_wait_seconds_bucket{{{_API}}}"), "p99"),
                    width=6,
                ),
                lines(
                    "Time of a statement that stores payments",
                    "Including its commit to disk.",
                    "s",
                    *percentiles("payments_api_statement_duration_seconds_bucket"),
                    width=6,
                ),
                lines(
                    "Processor use, by service",
                    "Cores. A process uses at most one: add replicas at that point.",
                    "none",
                    Query(rate("process_cpu_seconds_total", "job"), "{{job}}"),
                    width=6,
                ),
            ),
        ),
    ),
)
