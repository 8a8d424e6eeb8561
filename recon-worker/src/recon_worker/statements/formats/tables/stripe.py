"""Reader of Stripe's payout reconciliation report, itemized."""

from collections.abc import Iterator, Mapping

from payments_core.statements.csv_profile import declared_encoding
from recon_worker.statements.formats.decode import Lines
from recon_worker.statements.formats.model import Event, MalformedStatement, StatementLine
from recon_worker.statements.formats.source import Source
from recon_worker.statements.formats.tables.provider import Movement, Report, amount_of
from recon_worker.statements.formats.tables.rows import Dialect, Row, rows
from recon_worker.statements.formats.values import (
    currency_code,
    free_text,
    reference,
    written_date,
)

_NEEDED = (
    "automatic_payout_id",
    "balance_transaction_id",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
)
# The client's own name of the payment first, then Stripe's names, best first.
_REFERENCES = ("payment_metadata[reference]", "payment_intent_id", "charge_id", "source_id")


def read_stripe(source: Source, profile: Mapping[str, object] | None) -> Iterator[Event]:
    """Yield the events of a report. Raises MalformedStatement and ProfileError."""
    lines = Lines(source, declared_encoding(profile))
    report = Report("stripe")
    for row in rows(lines, Dialect(), _NEEDED):
        yield from report.take(_movement(row), None)
    yield from report.end(lines.encoding)


def _movement(row: Row) -> Movement:
    at = row.position
    currency = currency_code(row["currency"].upper(), at)
    gross, fee, net = (amount_of(row[name], currency, at) for name in ("gross", "fee", "net"))
    if gross - fee != net:
        raise MalformedStatement(f"gross {gross} and fee {fee} do not make net {net}", at)
    named = (reference(row.get(column), at) for column in _REFERENCES)
    foreign = row.get("customer_facing_currency").upper()
    original = row.get("customer_facing_amount") if foreign not in ("", currency) else ""
    amount = amount_of(original, currency_code(foreign, at), at) if original else None
    available = row.get("available_on") or row.get("available_on_utc")
    category = row["reporting_category"]
    payout = reference(row["automatic_payout_id"], at)
    line = StatementLine(
        line_no=row.number,
        part_no=0,
        amount=gross,
        currency=currency,
        booked_on=written_date(row.get("created") or row.get("created_utc"), at),
        valued_on=written_date(available, at) if available else None,
        end_to_end=next(filter(None, named), None),
        bank_ref=reference(row["balance_transaction_id"], at),
        batch_ref=payout,
        code=reference(category, at),
        reversal=False,
        return_reason=None,
        counterparty=free_text([row.get("customer_name") or row.get("customer_email")], at),
        remittance=free_text([row.get("description")], at),
        charges=None,
        original_amount=amount or None,
        original_currency=foreign if amount else None,
        booking="booked",
        position=at,
    )
    return Movement(line, fee, payout, category == "payout")
