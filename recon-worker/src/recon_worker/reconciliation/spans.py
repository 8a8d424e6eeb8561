"""The worker's spans: a batch links its jobs, and each payment's own trace continues.

    trace of the payment   ... send recon_jobs ─▶ process recon_jobs ─▶ post ledger
    trace of the batch     batch recon_jobs ─▶ receive recon_jobs, statements, COMMIT

A payment's span uses the context in its job's row, so it joins the same trace at a retry and
after the death of the first worker. A job whose trace is not recorded costs one comparison of a
character.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import time_ns
from typing import cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
    use_span,
)

from payments_core.observability.trace_context import context_of, is_sampled
from payments_core.observability.tracing import JOBS_QUEUE, messaging_attributes, tracer
from payments_core.queue.jobs import ClaimedJob
from recon_worker.reconciliation.post import DecidedJob

_CLAIMED_AT = otel_context.create_key("recon-worker-claimed-at")


@contextmanager
def batch(jobs: Sequence[ClaimedJob], worker_id: str, claim_began: int) -> Iterator[None]:
    """Record a claimed batch; `claim_began` is in nanoseconds since 1970."""
    active = tracer()
    if active is None:
        yield
        return
    claimed = time_ns()
    links = [
        Link(get_current_span(context_of(job.traceparent)).get_span_context())
        for job in jobs
        if job.traceparent is not None and is_sampled(job.traceparent)
    ]
    span = active.start_span(
        f"batch {JOBS_QUEUE}",
        context=Context(),
        kind=SpanKind.CONSUMER,
        links=links,
        attributes={
            **messaging_attributes("batch", "process"),
            "messaging.batch.message_count": len(jobs),
            "messaging.client.id": worker_id,
        },
        start_time=claim_began,
    )
    with use_span(span, end_on_exit=True, record_exception=False):
        receive = active.start_span(
            f"receive {JOBS_QUEUE}",
            kind=SpanKind.CLIENT,
            attributes={
                **messaging_attributes("receive", "receive"),
                "messaging.batch.message_count": len(jobs),
            },
            start_time=claim_began,
        )
        receive.end(claimed)
        token = otel_context.attach(otel_context.set_value(_CLAIMED_AT, claimed))
        try:
            yield
        finally:
            otel_context.detach(token)


def settled(decided: Sequence[DecidedJob], began: int) -> None:
    """Record each traced payment that a transaction, begun at `began` ns, settled."""
    active = tracer()
    if active is None:
        return
    ended = time_ns()
    for each in decided:
        span = _process(each.job)
        if span is None:
            continue
        span.set_attribute("payments.outcome", each.outcome.result_status)
        posting = active.start_span(
            "post ledger" if each.outcome.payment_status == "completed" else "settle payment",
            context=set_span_in_context(span, Context()),
            attributes={"payments.payment.id": str(each.job.payment_id)},
            start_time=began,
        )
        posting.end(ended)
        span.end(ended)


def failed(job: ClaimedJob, error: Exception, status: str | None) -> None:
    """Record a failed attempt; `status` is the job's new status, None if its lease was lost."""
    span = _process(job)
    if span is not None:
        span.set_attribute("error.type", type(error).__name__)
        span.set_attribute("payments.job.status", status or "lease_lost")
        span.set_status(Status(StatusCode.ERROR))
        span.end()


def _process(job: ClaimedJob) -> Span | None:
    active = tracer()
    if active is None or job.traceparent is None or not is_sampled(job.traceparent):
        return None
    batch_context = get_current_span().get_span_context()
    return active.start_span(
        f"process {JOBS_QUEUE}",
        context=context_of(job.traceparent),
        kind=SpanKind.CONSUMER,
        links=[Link(batch_context)] if batch_context.is_valid else (),
        attributes={
            **messaging_attributes("process", "process"),
            "messaging.message.id": str(job.id),
            "payments.payment.id": str(job.payment_id),
            "payments.job.attempt": job.attempts,
        },
        start_time=cast(int | None, otel_context.get_value(_CLAIMED_AT)),
    )
