"""Reader of Adyen's settlement details report."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from payments_core.statements.csv_profile import declared_encoding
from recon_worker.statements.formats.decode import Lines
from recon_worker.statements.formats.model import Event, StatementLine
from recon_worker.statements.formats.source import Source
from recon_worker.statements.formats.tables.provider import Movement, Report, amount_of
from recon_worker.statements.formats.tables.rows import Dialect, Row, rows
from recon_worker.statements.formats.values import (
    account_identifier,
    currency_code,
    free_text,
    reference,
    written_date,
)

_GROSS = ("Gross Credit (GC)", "Gross Debit (GC)")
_NET = ("Net Credit (NC)", "Net Debit (NC)")
_CHARGES = ("Commission (NC)", "Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)")
_NEEDED = (
    "Merchant Account",
    "Psp Reference",
    "Merchant Reference",
    "Creation Date",
    "Type",
    "Modification Reference",
    "Gross Currency",
    "Net Currency",
    "Batch Number",
    *_GROSS,
    *_NET,
    *_CHARGES,
)


def read_adyen(source: Source, profile: Mapping[str, object] | None) -> Iterator[Event]:
    """Yield the events of a report. Raises MalformedStatement and ProfileError."""
    lines = Lines(source, declared_encoding(profile))
    report = Report("adyen")
    for row in rows(lines, Dialect(), _NEEDED):
        yield from report.take(_movement(row), account_identifier(row["Merchant Account"]))
    yield from report.end(lines.encoding)


def _movement(row: Row) -> Movement:
    at = row.position
    currency = currency_code(row["Net Currency"], at)
    net = _difference(row, _NET, currency)
    named = row["Gross Currency"]
    gross_currency = currency_code(named, at) if named else currency
    gross = _difference(row, _GROSS, gross_currency)
    if gross and gross_currency == currency:
        charges = gross - net
    else:  # Converted: only the charges' own columns are in the net currency.
        charges = sum((_cell(row, name, currency) for name in _CHARGES), Decimal(0))
    kind = row["Type"]
    foreign = bool(gross) and gross_currency != currency
    line = StatementLine(
        line_no=row.number,
        part_no=0,
        amount=net + charges,
        currency=currency,
        booked_on=written_date(row.get("Booking Date") or row["Creation Date"], at),
        valued_on=None,
        end_to_end=reference(row["Merchant Reference"], at),
        bank_ref=reference(row["Psp Reference"], at)
        or reference(row["Modification Reference"], at),
        batch_ref=reference(row["Batch Number"], at),
        code=reference(kind, at),
        reversal=False,
        return_reason=None,
        counterparty=None,
        remittance=free_text([row.get("Payment Method")], at),
        charges=None,
        original_amount=gross if foreign else None,
        original_currency=gross_currency if foreign else None,
        booking="booked",
        position=at,
    )
    return Movement(line, charges, line.batch_ref, kind == "MerchantPayout")


def _difference(row: Row, names: tuple[str, str], currency: str) -> Decimal:
    """Return credit - debit."""
    return _cell(row, names[0], currency) - _cell(row, names[1], currency)


def _cell(row: Row, name: str, currency: str) -> Decimal:
    text = row[name]
    return amount_of(text, currency, row.position) if text else Decimal(0)
