"""The timeline of a payment."""

from collections.abc import Sequence
from dataclasses import dataclass

from payments_core.domain.statuses import COMPLETED, FAILED, PENDING, SETTLED_STATUSES
from payments_ui.api.shared_read import SharedRead
from payments_ui.api.types import JobOfPayment, PaymentDetail, PaymentPage, Reversal
from payments_ui.per_app import PerApp
from payments_ui.web.formatting import elapsed, money, status_text

# The live stream's position before the read, and the newest payments.
newest_payments = PerApp[SharedRead[tuple[str, PaymentPage]]]("newest_payments")


@dataclass(frozen=True)
class Step:
    """A step; kind is done, active, waiting, warning or failed, `at` a time of the API."""

    kind: str
    title: str
    at: str | None = None
    text: str = ""
    error: str = ""


def timeline(payment: PaymentDetail, reversals: Sequence[Reversal] = ()) -> list[Step]:
    """Return the steps of a payment and its reversals; the last one may lie ahead."""
    steps = [
        Step("done", "Created", payment["createdAt"], "Stored with its job in one transaction.")
    ]
    job = payment["job"]
    is_open = payment["status"] not in SETTLED_STATUSES
    if job and is_open and payment["status"] != PENDING and job["status"] == "pending":
        text = "A worker will claim its job at this time."
        steps.append(Step("waiting", status_text(payment["status"]), job["runAt"], text))
    elif job:
        steps += _job_steps(job)
    steps += _reconciled(payment)
    if is_open and not (job and job["status"] == "failed"):
        steps.append(Step("waiting", "Reconciled", None, "Not yet."))
    for reversal in reversed(reversals):
        steps += _reversed(reversal)
    return steps


def _reversed(reversal: Reversal) -> list[Step]:
    """Return the steps of a reversal."""
    sum_ = f"{money(reversal['amount'])} {reversal['currency']}"
    steps = [Step("done", f"Reversal of {sum_} created", reversal["createdAt"], reversal["reason"])]
    if reversal["status"] == COMPLETED:
        steps.append(Step("done", f"Reversed: {sum_}", reversal["settledAt"]))
    elif reversal["status"] == FAILED:
        notes = reversal["notes"] or ""
        steps.append(Step("failed", "Reversal failed", reversal["settledAt"], notes))
    else:
        steps.append(Step("waiting", "Reversing…", None, "A worker will post it."))
    return steps


def _job_steps(job: JobOfPayment) -> list[Step]:
    tries = f"Attempt {job['attempts']} of {job['maxAttempts']}"
    if job["status"] == "failed":
        return [
            Step(
                "failed",
                "Dead letter",
                job["updatedAt"],
                f"Failed after {job['attempts']} of {job['maxAttempts']} attempts. "
                "An operator can replay or discard it.",
                job["lastError"] or "",
            )
        ]
    if job["status"] == "pending" and job["attempts"]:
        return [
            Step("warning", f"{tries} failed", job["updatedAt"], "", job["lastError"] or ""),
            Step("waiting", "Next attempt", job["runAt"]),
        ]
    if job["status"] == "pending":
        return [Step("waiting", "In the queue", None, "A worker will claim it.")]
    worker = f" by {job['lockedBy']}" if job["lockedBy"] else ""
    claimed = Step(
        "active" if job["status"] == "processing" else "done",
        f"Claimed{worker}",
        job["lockedAt"],
        f"{tries}.",
    )
    return [claimed] if job["attempts"] else []


def _reconciled(payment: PaymentDetail) -> list[Step]:
    result = payment["reconciliation"]
    if not result:
        return []
    took = elapsed(payment["createdAt"], payment.get("settledAt"))
    after = f" {took} after it was created." if took else ""
    discrepancy = result["discrepancyAmount"]
    kind, title, text = {
        "completed": ("done", "Reconciled: matched", f"Settled{after or '.'}"),
        "completed_with_discrepancy": (
            "warning",
            f"Reconciled: differs by {money(discrepancy)} {payment['currency']}",
            f"Settled{after or '.'}",
        ),
        "failed": ("failed", "Failed", result["notes"] or ""),
    }[result["status"]]
    steps = [Step(kind, title, result["createdAt"], text)]
    if payment["ledgerEntries"]:
        steps.append(
            Step(
                "done",
                "Posted to the ledger",
                payment["ledgerEntries"][0]["createdAt"],
                "Both legs and the result in one transaction.",
            )
        )
    return steps
