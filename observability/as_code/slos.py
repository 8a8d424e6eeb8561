"""The three service level objectives, and the alerts on the rate at which they are violated.

Burn rates and windows are those of the Site Reliability Workbook, chapter 5, table 5-8: a page when
2 % of a month's budget is used within an hour or 5 % within six, a ticket when 10 % is used within
three days. The short window lets an alert end soon after its cause.
"""

from dataclasses import dataclass
from typing import Any

PROBES = "/health|/livez|/readyz|/metrics"
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FAST = (("1h", "5m", 14.4), ("6h", "30m", 6.0))
SLOW = (("1d", "2h", 3.0), ("3d", "6h", 1.0))


@dataclass(frozen=True)
class Slo:
    """An objective. `bad_ratio` is PromQL with WINDOW in it; `alert` prefixes its two alerts.

    The alerts say what users notice: the `fault`, and what is `counted` in the bad ratio.
    """

    name: str
    alert: str
    objective: float
    fault: str
    counted: str
    bad_ratio: str


_ASKED = f'http_server_requests_total{{job="payments-api",http_route!~"{PROBES}"'
_CREATE = '{job="payments-api",http_route="/payments",method="POST"'

SLOS = (
    Slo(
        "api-availability",
        "ApiAvailability",
        0.999,
        "Requests to payments-api fail with 5xx",
        "requests failed",
        f'(sum(rate({_ASKED},status=~"5.."}}[WINDOW])) or vector(0))'
        f" / sum(rate({_ASKED}}}[WINDOW]))",
    ),
    Slo(
        "api-latency",
        "ApiLatency",
        0.99,
        "Payments take longer than 250 ms to create",
        "payments took longer",
        f'1 - sum(rate(http_server_request_duration_seconds_bucket{_CREATE},le="0.25"}}[WINDOW]))'
        f" / sum(rate(http_server_request_duration_seconds_count{_CREATE}}}[WINDOW]))",
    ),
    Slo(
        "freshness",
        "Freshness",
        0.999,
        "Payments settle later than 10 s after their creation",
        "payments settled later",
        '1 - sum(rate(payments_settle_duration_seconds_bucket{le="10.0"}[WINDOW]))'
        " / sum(rate(payments_settle_duration_seconds_count[WINDOW]))",
    ),
)


def groups() -> list[dict[str, Any]]:
    """Return the rule groups: ratios by window, then the alerts on them."""
    return [
        {
            "name": "slo-ratios",
            "rules": [
                {
                    "record": f"slo:bad_ratio:rate{window}",
                    "expr": slo.bad_ratio.replace("WINDOW", window),
                    "labels": {"slo": slo.name},
                }
                for slo in SLOS
                for window in WINDOWS
            ]
            + [
                {
                    "record": "slo:objective:ratio",
                    "expr": f"vector({slo.objective})",
                    "labels": {"slo": slo.name},
                }
                for slo in SLOS
            ],
        },
        {"name": "slo-burn", "rules": [rule for slo in SLOS for rule in _burn_alerts(slo)]},
    ]


def _burn_alerts(slo: Slo) -> list[dict[str, Any]]:
    return [
        _alert(slo, "BurnsFast", FAST, "page", "less than five days"),
        _alert(slo, "BurnsSlowly", SLOW, "ticket", "less than a month"),
    ]


def _alert(
    slo: Slo, suffix: str, pairs: tuple[tuple[str, str, float], ...], severity: str, lasts: str
) -> dict[str, Any]:
    budget = round(1 - slo.objective, 6)

    def over(window: str, factor: float) -> str:
        bound = f"{factor} * {budget}"
        return f'slo:bad_ratio:rate{window}{{slo="{slo.name}"}} > {bound}'

    expr = "\nor ".join(
        f"({over(long, factor)} and {over(short, factor)})" for long, short, factor in pairs
    )
    return {
        "alert": f"{slo.alert}{suffix}",
        "expr": expr,
        "labels": {"severity": severity},
        "annotations": {
            "summary": f"{slo.fault}: the month's error budget ({100 * budget:g} %) lasts {lasts}",
            "description": f"{{{{ $value | humanizePercentage }}}} of recent {slo.counted}.",
            "runbook": f"docs/runbooks/{slo.name}.md",
        },
    }
