"""One transaction of a camt entry (TxDtls)."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from xml.etree.ElementTree import Element  # nosec B405 - the class: expat parses

from recon_worker.statements.formats.camt.elements import (
    Money,
    charges,
    child,
    code,
    money,
    sign,
    text_of,
)
from recon_worker.statements.formats.values import free_text, reference


@dataclass(slots=True)
class Details:
    """One transaction of an entry (TxDtls)."""

    amounts: Sequence[Money] = ()  # The candidates for its own amount, best first, signed.
    original: Money | None = None  # The last of them in another currency than the entry.
    charges: Decimal = Decimal(0)
    end_to_end: str | None = None
    bank_ref: str | None = None
    batch_ref: str | None = None
    code: str | None = None
    return_reason: str | None = None
    counterparty: str | None = None
    remittance: str | None = None

    def amount_in(self, currency: str) -> Decimal | None:
        """Return its own amount in the entry's currency, if the bank names one."""
        return next((m.amount for m in self.amounts if m.currency == currency), None)


NO_DETAILS = Details()


def details_of(element: Element, entry_sign: int, currency: str, position: str) -> Details:
    """Return one TxDtls."""
    direction = sign(element, position, default=entry_sign)
    refs = child(element, "Refs")
    amounts = _amounts(element, direction, position)
    return Details(
        amounts=amounts,
        original=foreign(amounts, currency),
        charges=charges(element, currency, position),
        end_to_end=_payment_reference(refs, position),
        bank_ref=reference(refs.findtext("AcctSvcrRef"), position),
        batch_ref=reference(refs.findtext("PmtInfId"), position),
        code=code(element),
        return_reason=_return_reason(element, position),
        counterparty=_counterparty(element, direction, position),
        remittance=_remittance(element, position),
    )


def entry_amounts(entry: Element, direction: int, position: str) -> Sequence[Money]:
    """Return the amounts that an entry's own AmtDtls names."""
    return _amounts(entry, direction, position, own=False)


def foreign(amounts: Sequence[Money], currency: str) -> Money | None:
    """Return the instructed amount if it is in another currency, and not zero."""
    others = [m for m in amounts if m.currency != currency and m.amount]
    return others[-1] if others else None


def _amounts(
    element: Element, direction: int, position: str, *, own: bool = True
) -> Sequence[Money]:
    found = [element.find("Amt")] if own else []
    block = element.find("AmtDtls")
    if block is not None:
        found += [child(block, name).find("Amt") for name in ("TxAmt", "CntrValAmt", "InstdAmt")]
    return [money(amount, position, direction) for amount in found if amount is not None]


def _payment_reference(refs: Element, position: str) -> str | None:
    # Without EndToEndId, the instruction's id is the one that its initiator chose.
    return reference(refs.findtext("EndToEndId"), position) or reference(
        refs.findtext("InstrId"), position
    )


def _return_reason(element: Element, position: str) -> str | None:
    reason = child(child(element, "RtrInf"), "Rsn")
    return reference(reason.findtext("Cd") or reason.findtext("Prtry"), position)


def _counterparty(element: Element, direction: int, position: str) -> str | None:
    role = "Dbtr" if direction > 0 else "Cdtr"
    parties = element.find("RltdPties")
    if parties is None:
        return None
    party = child(parties, role)
    name = party.findtext("Nm") or child(party, "Pty").findtext("Nm")
    if not name:
        account = child(child(parties, f"{role}Acct"), "Id")
        name = account.findtext("IBAN") or child(account, "Othr").findtext("Id")
    return free_text([name or ""], position)


def _remittance(element: Element, position: str) -> str | None:
    block = element.find("RmtInf")
    if block is None:
        return None
    structured = [text_of(s, "CdtrRefInf", "Ref") or "" for s in block.findall("Strd")]
    unstructured = [u.text or "" for u in block.findall("Ustrd")]
    return free_text([*structured, *unstructured], position)
