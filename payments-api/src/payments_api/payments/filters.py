"""The filters of a list of payments: those that an index serves, and those that rows are read for.

docs/decisions/0034-filters-without-an-index.md says which filter is of which kind, and why.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Table, Text, cast, exists, func

from payments_core.db.keyset import Walk
from payments_core.db.tables import (
    constant,
    has_tenant,
    payments,
    recon_jobs,
    reconciliation_results,
    tenant_of,
)
from payments_core.domain.ids import first_id_at
from payments_core.domain.payments import time_or_none
from payments_core.domain.statuses import FAILED, OPEN_STATUSES
from payments_core.domain.tenants import stored_account

# A payment's id holds the API's time, its row the database's: how far the two may differ.
ID_SKEW = timedelta(minutes=10)

_results, _jobs = reconciliation_results.c, recon_jobs.c
HAS_DISCREPANCY = _results.status == constant("completed_with_discrepancy")
_UNFINISHED = _jobs.status != constant("completed")
# A dead letter is an unfinished job too: said so, the index of those serves it.
_IS_DEAD = (_jobs.status == constant("failed")) & _UNFINISHED
# Served by a partial index of an insert-only or small table: an index over payments.status
# would deny every settling payment its HOT update.
_RARE_STATUSES: dict[str, tuple[Table, ColumnElement[bool]]] = {
    **dict.fromkeys(OPEN_STATUSES, (recon_jobs, _UNFINISHED)),
    FAILED: (reconciliation_results, _results.status == constant(FAILED)),
}


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """The filters of a list of payments; None does not narrow.

    `created_from` is inclusive, `created_to` exclusive. `account_id` is the stored id.
    """

    tenant: str | None = None
    account_id: str | None = None
    status: str | None = None
    currency: str | None = None
    discrepancy: bool = False
    created_from: datetime | None = None
    created_to: datetime | None = None
    reference: str | None = None
    idempotency_key: str | None = None  # As stored.
    dead_letter: bool = False
    id_prefix: str | None = None  # As the beginning of an id, in lower case.
    id_suffix: str | None = None
    description: str | None = None  # Contained in it, in either case.
    amount: Decimal | None = None

    def named_values(self) -> dict[str, str | None]:
        """Return the filters that are set, by the names that cursors are bound to.

        Names and texts must stay the same from one release to the next.
        """
        return {
            "tenant": self.tenant,
            "accountId": self.account_id,
            "status": self.status,
            "currency": self.currency,
            "discrepancy": "true" if self.discrepancy else None,
            "createdFrom": time_or_none(self.created_from),
            "createdTo": time_or_none(self.created_to),
            "reference": self.reference,
            "idempotencyKey": self.idempotency_key,
            "deadLetter": "true" if self.dead_letter else None,
            "idPrefix": self.id_prefix,
            "idSuffix": self.id_suffix,
            "description": self.description,
            "amount": None if self.amount is None else str(self.amount.normalize()),
        }

    @property
    def examines(self) -> bool:
        """Whether a filter is set that no index serves."""
        return bool(self.examined(payments))

    def indexed(self, walk: Walk[UUID]) -> list[ColumnElement[bool]]:
        """Return the WHERE terms over payments along the walk that an index serves."""
        columns = payments.c
        terms = self._bounds(columns.id, walk)
        if self._is_named:
            if self.reference is not None:
                terms.append(columns.reference == self.reference)
            if self.idempotency_key is not None:
                terms.append(columns.idempotency_key == self.idempotency_key)
        elif self.account_id is not None:
            terms.append(columns.account_id == self.account_id)
        elif self.tenant is not None:
            terms.extend((has_tenant, tenant_of == self.tenant))
        if self.status in _RARE_STATUSES and not self._is_named:
            terms.append(columns.status == constant(self.status))
            terms.append(self._is_among(*_RARE_STATUSES[self.status], walk))
        if self.discrepancy:
            terms.append(self._is_among(reconciliation_results, HAS_DISCREPANCY, walk))
        if self.dead_letter:
            terms.append(self._is_among(recon_jobs, _IS_DEAD, walk))
        if self.created_from is not None:
            terms.append(columns.created_at >= self.created_from)
        if self.created_to is not None:
            terms.append(columns.created_at < self.created_to)
        return terms

    def examined(self, listed: FromClause) -> list[ColumnElement[bool]]:
        """Return the terms that no index serves, over a selection of payments."""
        columns, terms = listed.c, []
        if self._is_named and self.account_id is not None:
            terms.append(columns.account_id == self.account_id)
        elif self._is_named and self.tenant is not None:
            terms.append(func.starts_with(columns.account_id, stored_account("", self.tenant)))
        if self.status is not None and (self._is_named or self.status not in _RARE_STATUSES):
            terms.append(columns.status == constant(self.status))
        if self.currency is not None:
            terms.append(columns.currency == self.currency)
        if self.amount is not None:
            terms.append(columns.amount == self.amount)
        if self.description is not None:
            terms.append(columns.description.icontains(self.description, autoescape=True))
        if self.id_suffix is not None:
            terms.append(func.right(cast(columns.id, Text), len(self.id_suffix)) == self.id_suffix)
        return terms

    @property
    def _is_named(self) -> bool:
        """Whether a filter is set that few payments pass: its index serves, and no other."""
        return self.reference is not None or self.idempotency_key is not None

    def _bounds(self, key: ColumnElement[Any], walk: Walk[UUID]) -> list[ColumnElement[bool]]:
        """Return the bounds of the payments' ids, for a column that holds them."""
        terms = walk.beyond(key)
        if self.created_from is not None:
            terms.append(key >= first_id_at(self.created_from, -ID_SKEW))
        if self.created_to is not None:
            terms.append(key < first_id_at(self.created_to, ID_SKEW))
        if self.id_prefix is not None:
            first, last = ids_with_prefix(self.id_prefix)
            terms.extend((key >= first, key <= last))
        return terms

    def _is_among(
        self, table: Table, condition: ColumnElement[bool], walk: Walk[UUID]
    ) -> ColumnElement[bool]:
        """Return a term for the few payments in a partial index of another table.

        The planner walks that index only with the bounds repeated: it does not carry them over an
        equality.
        """
        ids = table.c.payment_id
        listed = exists().where(ids == payments.c.id, condition, *self._bounds(ids, walk))
        # The list joins the results too: without this the term would refer to that row.
        return listed.correlate(payments)


def ids_with_prefix(prefix: str) -> tuple[UUID, UUID]:
    """Return the lowest and the highest id whose text begins so."""
    digits = prefix.replace("-", "")
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
