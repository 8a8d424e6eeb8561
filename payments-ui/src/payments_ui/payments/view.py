"""The timeline of a payment."""

from dataclasses import dataclass

from payments_core.domain.statuses import PENDING, SETTLED_STATUSES
from payments_ui.api.shared_read import SharedRead
from payments_ui.api.types import JobOfPayment, PaymentDetail, PaymentPage
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


def timeline(payment: PaymentDetail) -> list[Step]:
    """Return the steps of a payment; the last one may be still to come."""
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
