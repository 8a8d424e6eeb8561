"""A payment's life as steps, from what the API knows of it."""

from dataclasses import dataclass

from payments_ui.api.shared_read import SharedRead
from payments_ui.api.types import JobOfPayment, PaymentDetail, PaymentPage
from payments_ui.per_app import PerApp
from payments_ui.web.formatting import elapsed, money

# Where the live stream stood before the read, and the newest payments.
newest_payments = PerApp[SharedRead[tuple[str, PaymentPage]]]("newest_payments")


@dataclass(frozen=True)
class Step:
    """kind: done, active, waiting, warning or failed; `at` is a time of the API."""

    kind: str
    title: str
    at: str | None = None
    text: str = ""
    error: str = ""


def timeline(payment: PaymentDetail) -> list[Step]:
    """Created, claimed, tried, reconciled, posted; the last step may lie in the future."""
    steps = [Step("done", "Created", payment["createdAt"], "Stored together with its job.")]
    job = payment["job"]
    if job:
        steps += _job_steps(job)
    steps += _reconciled(payment)
    if payment["status"] == "pending" and not (job and job["status"] == "failed"):
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
                f"Given up after {job['attempts']} of {job['maxAttempts']} attempts. "
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
    who = f" by {job['lockedBy']}" if job["lockedBy"] else ""
    claimed = Step(
        "active" if job["status"] == "processing" else "done",
        f"Claimed{who}",
        job["lockedAt"],
        f"{tries}.",
    )
    return [claimed] if job["attempts"] else []


def _reconciled(payment: PaymentDetail) -> list[Step]:
    found = payment["reconciliation"]
    if not found:
        return []
    took = elapsed(payment["createdAt"], payment.get("settledAt"))
    after = f" {took} after it was created." if took else ""
    discrepancy = found["discrepancyAmount"]
    kind, title, text = {
        "completed": ("done", "Reconciled: matched", f"Settled{after or '.'}"),
        "completed_with_discrepancy": (
            "warning",
            f"Reconciled: differs by {money(discrepancy)} {payment['currency']}",
            f"Settled{after or '.'}",
        ),
        "failed": ("failed", "Failed", found["notes"] or ""),
    }[found["status"]]
    steps = [Step(kind, title, found["createdAt"], text)]
    if payment["ledgerEntries"]:
        steps.append(
            Step(
                "done",
                "Posted to the ledger",
                payment["ledgerEntries"][0]["createdAt"],
                "Both legs in one transaction with the result.",
            )
        )
    return steps
