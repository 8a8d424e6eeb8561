"""PromQL that several dashboards share."""

from as_code.panels import Query


def rate(selector: str, by: str = "") -> str:
    total = f"sum by ({by})" if by else "sum"
    return f"{total} (rate({selector}[$__rate_interval]))"


def quantile(fraction: float, buckets: str, by: str = "le") -> str:
    return f"histogram_quantile({fraction}, {rate(buckets, by)})"


def percentiles(buckets: str, *, exemplars: bool = False) -> list[Query]:
    return [
        Query(quantile(fraction, buckets), name, exemplars and fraction == 0.99)
        for fraction, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    ]


def mean(histogram: str) -> str:
    return f"{rate(histogram + '_sum')} / {rate(histogram + '_count')}"


def burn(slo: str) -> Query:
    ratio = f'slo:bad_ratio:rate1h{{slo="{slo}"}}'
    return Query(f"{ratio} / on (slo) (1 - slo:objective:ratio)", slo)


BURN_ABOUT = (
    "How many times faster than a month's budget lasts it is used up, over the last hour. "
    "Below 1 the month's budget lasts; from 14.4 an alert pages."
)
