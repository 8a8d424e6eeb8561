"""One statement of a camt message (Stmt, Rpt or Ntfctn), from its first child to its end."""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from xml.etree.ElementTree import Element  # nosec B405 - the class: expat parses

from payments_core.domain.statements import StatementKind
from recon_worker.statements.formats.camt import elements
from recon_worker.statements.formats.camt.details import Details, details_of
from recon_worker.statements.formats.camt.entry import (
    DETAILS_MAX,
    DETAILS_TEXT_MAX_CHARS,
    EntryContext,
    lines_of,
)
from recon_worker.statements.formats.model import (
    Event,
    MalformedStatement,
    StatementEnd,
    StatementHeader,
)
from recon_worker.statements.formats.totals import Totals
from recon_worker.statements.formats.values import (
    Notes,
    account_identifier,
    currency_code,
    reference,
    written_date,
)

STATEMENT_OF = {  # The message element, and its statements' element.
    "BkToCstmrStmt": "Stmt",
    "BkToCstmrAcctRpt": "Rpt",
    "BkToCstmrDbtCdtNtfctn": "Ntfctn",
}
_KINDS: dict[str, tuple[StatementKind, str]] = {
    "Stmt": ("statement", "camt.053"),
    "Rpt": ("report", "camt.052"),
    "Ntfctn": ("notification", "camt.054"),
}
_MESSAGE_VERSION = re.compile(r"camt\.05[234]\.001\.[0-9]{2}")
# Best first. Two interim balances (ITBD) are the opening and closing ones of a page.
_OPENING = ("OPBD", "PRCD", "ITBD")
_CLOSING = ("CLBD", "ITBD")
_BALANCES = {*_OPENING, *_CLOSING}
_COUNT = re.compile(r"[0-9]{1,15}", re.ASCII)


class CamtStatement:
    """The state of one statement while its elements arrive."""

    def __init__(self, number: int, name: str, message_name: str) -> None:
        self._number = number
        self._kind, message = _KINDS[name]
        version = _MESSAGE_VERSION.search(message_name)
        self._message = version[0] if version else message
        self.position = f"{name} {number}"
        self._heading: dict[str, str | None] = {}
        self._dates: dict[str, date | None] = {}
        self._balances: dict[str, list[elements.Balance]] = {}
        self._header: StatementHeader | None = None
        self._own_date: date | None = None
        self._totals = Totals()
        self._notes = Notes()
        self._entries = 0
        self._counted: int | None = None
        self._entry_currency, self._entry_sign = "", 1  # Of the entry that is open.
        self._details: list[Details] = []
        self._details_chars = 0
        self._details_left_out = 0

    def child(self, element: Element) -> Iterator[Event]:
        """Take a child element of the statement; yield the events that it completes."""
        match element.tag:
            case "Ntry":
                yield from self._entry(element)
            case "Bal":
                self._balance(element)
            case "Acct":
                if self._header or "account" in self._heading:
                    raise MalformedStatement(
                        "a second Acct, or one after an entry: ask the bank for a correct file",
                        self.position,
                    )
                identifier = element.find("Id")
                self._heading["account"] = elements.text_of(identifier, "IBAN") or elements.text_of(
                    identifier, "Othr", "Id"
                )
                self._heading["currency"] = elements.text_of(element, "Ccy")
            case "FrToDt":
                for name in ("Fr", "To"):
                    self._dates[name] = elements.period_day(element, name, self.position)
            case "CreDtTm":
                self._dates["Created"] = written_date(element.text, self.position)
            case "TxsSummry":
                count = (elements.text_of(element, "TtlNtries", "NbOfNtries") or "").strip()
                self._counted = int(count) if _COUNT.fullmatch(count) else None
            case "Id" | "ElctrncSeqNb" | "LglSeqNb":
                self._heading.setdefault(element.tag, element.text)

    def transaction(self, entry: Element, element: Element) -> None:
        """Take a TxDtls of the entry that is still open."""
        if len(self._details) == DETAILS_MAX or self._details_chars > DETAILS_TEXT_MAX_CHARS:
            self._details_left_out += 1
            return
        at = f"TxDtls {len(self._details) + 1} of Ntry {self._entries + 1} of {self.position}"
        if not self._details:  # Looked up once: an entry may have many elements before them.
            amount = entry.find("Amt")
            self._entry_currency = "" if amount is None else amount.get("Ccy", "")
            self._entry_sign = elements.sign(entry, at)
        details = details_of(element, self._entry_sign, self._entry_currency, at)
        self._details.append(details)
        self._details_chars += len(details.remittance or "") + len(details.counterparty or "")

    def end(self, encoding: str) -> Iterator[Event]:
        """Yield the end of the statement, and before it the header if no entry came."""
        header = self._header or self._begin(None)
        if self._header is None:
            yield header
        opening, opened_on = self._bound(_OPENING, 0, header)
        closing, closed_on = self._bound(_CLOSING, -1, header)
        problem = self._totals.problem(opening, closing, may_flip=True)
        if self._kind == "statement" and (opening is None or closing is None):
            missing = "opening (OPBD)" if opening is None else "closing (CLBD)"
            problem = f"the statement has no {missing} balance, so nothing proves it complete"
        if self._totals.flipped:
            self._notes.add("the balances close only with all reversals (RvslInd) flipped")
        miscount = self._miscount()
        if miscount and self._kind != "statement":
            problem = miscount  # Without balances, the count is the only proof.
        elif miscount:
            self._notes.add(miscount)
        yield StatementEnd(
            number=self._number,
            encoding=encoding,
            from_on=self._dates.get("Fr") or opened_on,
            to_on=self._dates.get("To") or closed_on,
            opening=opening,
            closing=closing,
            net=self._totals.net,
            entry_count=self._entries,
            reversals_flipped=self._totals.flipped,
            problem=problem,
            position=self.position,
            notes=self._notes.all(),
        )

    def _begin(self, first_entry: Element | None) -> StatementHeader:
        amount = None if first_entry is None else first_entry.find("Amt")
        currency = (self._heading.get("currency") or "").strip() or (
            self._balance_currency() or (None if amount is None else amount.get("Ccy"))
        )
        account = account_identifier(self._heading.get("account"))
        if account is None:
            raise MalformedStatement(
                "the account (Acct) is missing: ask the bank for a correct file", self.position
            )
        sequence = self._heading.get("ElctrncSeqNb") or self._heading.get("LglSeqNb")
        return StatementHeader(
            number=self._number,
            kind=self._kind,
            format="camt",
            message=self._message,
            account=reference(account, self.position),
            currency=currency_code(currency, self.position) if currency else None,
            bank_id=reference(self._heading.get("Id"), self.position),
            sequence=reference(sequence, self.position),
            position=self.position,
        )

    def _entry(self, entry: Element) -> Iterator[Event]:
        if self._header is None:
            self._header = self._begin(entry)
            self._own_date = self._date(self._header)
            yield self._header
        self._entries += 1
        context = EntryContext(
            number=self._entries,
            position=f"Ntry {self._entries} of {self.position}",
            fallback_date=self._own_date,
            details_left_out=self._details_left_out,
        )
        lines = lines_of(entry, self._details, context, self._notes)
        self._details, self._details_chars, self._details_left_out = [], 0, 0
        for line in lines:
            if line.currency != self._header.currency:
                raise MalformedStatement(
                    f"the entry is in {line.currency}, but the account is in "
                    f"{self._header.currency}: ask the bank for a correct file",
                    line.position,
                )
            self._totals.add(line)
            yield line

    def _date(self, header: StatementHeader) -> date | None:
        _, closed_on = self._bound(_CLOSING, -1, header)
        return closed_on or self._dates.get("To") or self._dates.get("Created")

    def _balance(self, element: Element) -> None:
        if self._kind != "statement":
            return  # Interim balances of a report prove nothing about its entries.
        balance = elements.balance(element, self.position)
        if balance.code in _BALANCES:
            found = self._balances.setdefault(balance.code, [])
            del found[1:]  # The first and the last count.
            found.append(balance)

    def _balance_currency(self) -> str | None:
        return next((b.money.currency for found in self._balances.values() for b in found), None)

    def _bound(
        self, codes: tuple[str, ...], index: int, header: StatementHeader
    ) -> tuple[Decimal | None, date | None]:
        for code in codes:
            found = [b for b in self._balances.get(code, ()) if b.money.currency == header.currency]
            if found and (code != "ITBD" or len(found) == 2 or codes is _CLOSING):
                return found[index].money.amount, found[index].on
        return None, None

    def _miscount(self) -> str | None:
        if self._counted in (None, self._entries):
            return None
        return f"TxsSummry counts {self._counted} entries, but there are {self._entries}"
