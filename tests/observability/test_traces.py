"""One trace for each payment, from the page's click to the ledger."""

import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from testkit.observability.load import POISON, POISON_SQL, pay
from testkit.observability.observed_system import Observed
from testkit.observability.otlp_endpoint import Received
from testkit.waiting import WAIT_SECONDS_MAX

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5


def spans_of(
    observed: Observed, trace_id: str, last: str, count: int = 1, *, whole: bool = True
) -> list[Received]:
    """Wait for `count` spans named `last` and their parents; return the trace's spans."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        spans = observed.otlp.of_trace(trace_id)
        parents = {span.parent_id for span in spans} - {span.span_id for span in spans}
        if sum(span.name == last for span in spans) >= count and (parents == {""} or not whole):
            return spans
        assert time.monotonic() < deadline, [(span.service, span.name) for span in spans]
        time.sleep(0.05)


def one(spans: list[Received], name: str) -> Received:
    """Return the only span with that name."""
    found = [span for span in spans if span.name == name]
    assert len(found) == 1, (name, [span.name for span in spans])
    return found[0]


def pay_on_the_page(ui_url: str) -> str:
    """Fill in the form as a browser does; return the new payment's id."""
    with httpx.Client(base_url=ui_url, timeout=20) as browser:
        page = browser.get("/").text
        form = next(f for f in re.findall(r"<form[\s\S]*?</form>", page) if "accountId" in f)
        fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form))
        action = re.search(r'(?:action|hx-post)="([^"]+)"', form)
        assert action is not None
        fields |= {"accountId": "acc-traced", "amount": "12.34", "currency": "USD"}
        answer = browser.post(action[1], data=fields)
        assert answer.status_code < 400, answer.text
        found = re.search(
            r"/payments/([0-9a-f-]{36})", answer.headers.get("Location", "") + answer.text
        )
        assert found is not None, answer.text
        return found[1]


def test_a_payment_on_the_page_is_one_trace_to_the_ledger(observed: Observed) -> None:
    payment_id = pay_on_the_page(observed.ui.url)
    traceparent = httpx.get(f"{observed.api.url}/payments/{payment_id}").json()["traceparent"]
    spans = spans_of(observed, traceparent[3:35], "post ledger")

    servers = {s.service: s for s in spans if s.kind == SERVER}
    page, api = servers["payments-ui"], servers["payments-api"]
    call = next(s for s in spans if s.kind == CLIENT and s.service == "payments-ui")
    send, process = one(spans, "send recon_jobs"), one(spans, "process recon_jobs")
    statement = one(spans, "INSERT payments, INSERT recon_jobs")
    posting = one(spans, "post ledger")

    assert page.parent_id == ""
    walk = [page, call, api, send, process, posting]
    assert [s.parent_id for s in walk[1:]] == [s.span_id for s in walk[:-1]]
    assert statement.parent_id == send.span_id
    assert [s.service for s in walk] == [
        *("payments-ui", "payments-ui", "payments-api", "payments-api"),
        *("recon-worker", "recon-worker"),
    ]
    assert {s.transport for s in spans} == {"grpc", "http"}
    assert traceparent == f"00-{send.trace_id}-{send.span_id}-01"
    assert all(s.start <= s.end for s in spans)


def test_spans_carry_the_attributes_of_the_semantic_conventions(observed: Observed) -> None:
    with httpx.Client(base_url=observed.api.url) as client:
        created = pay(client, "acc-attributes", "5.00").json()
        traceparent = client.get(f"/payments/{created['id']}").json()["traceparent"]
    spans = spans_of(observed, traceparent[3:35], "post ledger")

    request = one(spans, "POST /payments")
    assert request.kind == SERVER
    assert request.attributes.items() >= {
        ("http.request.method", "POST"),
        ("http.route", "/payments"),
        ("http.response.status_code", 201),
        ("url.path", "/payments"),
        ("url.scheme", "http"),
    }
    send = one(spans, "send recon_jobs")
    assert send.kind == PRODUCER
    assert send.attributes["messaging.destination.name"] == "recon_jobs"
    assert send.attributes["messaging.operation.type"] == "send"
    statement = one(spans, "INSERT payments, INSERT recon_jobs")
    assert statement.kind == CLIENT
    assert statement.attributes["db.system.name"] == "postgresql"
    assert statement.attributes["db.operation.name"] == "INSERT"
    assert "$1" in statement.attributes["db.query.text"]
    process = one(spans, "process recon_jobs")
    assert process.kind == CONSUMER
    assert process.attributes["payments.payment.id"] == created["id"]
    assert process.attributes["payments.outcome"] == "completed"
    assert process.attributes["messaging.operation.type"] == "process"


def test_a_batch_span_links_every_job(observed: Observed) -> None:
    with httpx.Client(base_url=observed.api.url) as client:
        items = [
            {"idempotencyKey": str(uuid.uuid4()), "accountId": f"acc-{n}", "amount": "1.00"}
            for n in range(300)
        ]
        answer = client.post("/payments/batch", json={"payments": items}, timeout=30).json()
        wanted = {item["payment"]["id"] for item in answer["payments"]}
        first = next(iter(wanted))
        traceparent = client.get(f"/payments/{first}").json()["traceparent"]
    spans = spans_of(observed, traceparent[3:35], "process recon_jobs", count=300)
    processed = [s for s in spans if s.name == "process recon_jobs"]
    assert {s.attributes["payments.payment.id"] for s in processed} == wanted

    # Each job links its batch, and the batches link their jobs: more links than the SDK's default
    # 128.
    batch_traces = {s.links[0] for s in processed}
    for trace_id, span_id in batch_traces:
        batch = one(spans_of(observed, trace_id, "batch recon_jobs"), "batch recon_jobs")
        assert batch.span_id == span_id
        held = batch.attributes["messaging.batch.message_count"]
        assert len(batch.links) == held
    sends = {s.span_id for s in spans if s.name == "send recon_jobs"}
    assert all(s.parent_id in sends for s in processed)


def test_requests_sharing_a_statement_each_have_its_span_in_their_trace(
    observed: Observed,
) -> None:
    with httpx.Client(base_url=observed.api.url, timeout=30) as client:
        pay(client, "acc-warm", "1.00")
        with ThreadPoolExecutor(24) as pool:
            created = list(pool.map(lambda n: pay(client, f"acc-{n}", "2.00"), range(72)))
        traces = [
            client.get(f"/payments/{answer.json()['id']}").json()["traceparent"][3:35]
            for answer in created
        ]
    name = "INSERT payments, INSERT recon_jobs"
    statements = [one(spans_of(observed, trace, name), name) for trace in traces]
    shared = [s for s in statements if s.links]
    assert shared, "24 concurrent clients never shared a statement"
    trace_id, span_id = shared[0].links[0]
    whole = one(spans_of(observed, trace_id, name), name)
    assert whole.span_id == span_id
    assert (shared[0].trace_id, shared[0].parent_id) in whole.links
    assert len(whole.links) == whole.attributes["db.operation.batch.size"]


def test_a_retry_continues_the_same_trace(observed: Observed) -> None:
    observed.system.sql(POISON_SQL)
    try:
        with httpx.Client(base_url=observed.api.url) as client:
            created = pay(client, POISON, "3.00").json()
            traceparent = client.get(f"/payments/{created['id']}").json()["traceparent"]
        begun = spans_of(observed, traceparent[3:35], "process recon_jobs")
        failed = next(s for s in begun if s.name == "process recon_jobs")
        assert failed.failed
        assert failed.attributes["payments.job.status"] == "pending"
    finally:
        observed.system.sql("DROP TRIGGER poison ON payments")
    spans = spans_of(observed, traceparent[3:35], "post ledger")
    attempts = [s for s in spans if s.name == "process recon_jobs"]
    assert len(attempts) >= 2
    assert attempts[-1].attributes["payments.job.attempt"] == len(attempts)
    assert not attempts[-1].failed


@pytest.mark.parametrize("flag", ["00", "01"])
def test_the_callers_sampling_decision_is_kept(observed: Observed, flag: str) -> None:
    caller = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-{flag}"
    # This API records every trace without a parent; the page's sampler is parent-based by default.
    api = observed.system.add(
        f"parent-{flag}",
        "payments_api",
        "serve",
        OTEL_TRACES_SAMPLER="parentbased_always_on",
        **observed.otlp.environ("grpc"),
    )
    try:
        answer = httpx.post(
            f"{api.url}/payments",
            json={"accountId": "acc-caller", "amount": "1.00"},
            headers={"Idempotency-Key": str(uuid.uuid4()), "traceparent": caller},
        )
        detail = httpx.get(f"{api.url}/payments/{answer.json()['id']}").json()
        assert detail["traceparent"][:35] == caller[:35]
        if flag == "01":
            assert detail["traceparent"] != caller, "the job continues the API's span"
            spans_of(observed, caller[3:35], "post ledger", whole=False)
        else:
            assert detail["traceparent"] == caller
    finally:
        assert api.stop() < 10
    if flag == "00":
        assert observed.otlp.of_trace(caller[3:35]) == []
