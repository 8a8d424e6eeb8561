"""Sources: the accounts at banks and providers whose statements are imported."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.audit_log import Operator, record_action
from payments_core.db.engine import AnyRow
from payments_core.db.keyset import NEWEST_FIRST, Walk
from payments_core.db.tables import recon_sources
from payments_core.domain import statements as words
from payments_core.domain.money import MoneyError, decimals_of
from payments_core.domain.payments import (
    DEFAULT_SOURCE,
    TENANT_PATTERN,
    TENANT_SEPARATOR,
    is_source,
)
from payments_core.statements.csv_profile import check_profile
from payments_core.statements.profile import storable_profile

_TENANT = re.compile(TENANT_PATTERN)


class SourceNotFound(LookupError):
    """No source has that name."""


class SourceExists(ValueError):
    """A source has that name, or speaks for that channel and currency already."""


class SourceRefused(ValueError):
    """A field of a new source is invalid; `field` names it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field, self.problem = field, problem


@dataclass(frozen=True, slots=True)
class NewSource:
    """A new source, validated and normalised. Raises SourceRefused.

    `channel` is the payments.source whose payments the account receives; `profile` is the CSV
    profile. A booking is expected in the bank within `grace_days`.
    """

    name: str
    account_identifier: str
    currency: str
    format: str = "auto"
    profile: Mapping[str, Any] | None = None
    channel: str = DEFAULT_SOURCE
    time_zone: str = "UTC"
    grace_days: int = 2
    tenant: str | None = None

    def __post_init__(self) -> None:
        """Validate every field."""
        account = words.normalised_account(self.account_identifier)
        object.__setattr__(self, "account_identifier", account)
        checks = (
            ("name", is_source(self.name), "must have 1 to 32 of a-z, 0-9 and -"),
            (
                "accountIdentifier",
                0 < len(account) <= words.ACCOUNT_IDENTIFIER_MAX_CHARS and account.isprintable(),
                f"must have 1 to {words.ACCOUNT_IDENTIFIER_MAX_CHARS} characters",
            ),
            ("currency", _is_currency(self.currency), "must be an ISO 4217 code, such as EUR"),
            (
                "format",
                self.format in words.SOURCE_FORMATS,
                f"must be one of {', '.join(words.SOURCE_FORMATS)}",
            ),
            (
                "profile",
                (self.format == "csv") <= (self.profile is not None),
                "is required with the format csv",
            ),
            ("channel", is_source(self.channel), "must be a source of payments, such as default"),
            (
                "timeZone",
                _is_time_zone(self.time_zone),
                "must be an IANA zone, such as Europe/Rome",
            ),
            (
                "graceDays",
                0 <= self.grace_days <= words.GRACE_DAYS_MAX,
                f"must be a number from 0 to {words.GRACE_DAYS_MAX}",
            ),
            (
                "tenant",
                self.tenant is None or _TENANT.fullmatch(self.tenant) is not None,
                "must have 1 to 32 of a-z, 0-9 and -",
            ),
        )
        for field, valid, problem in checks:
            if not valid:
                raise SourceRefused(field, problem)
        if self.profile is not None:
            try:
                object.__setattr__(self, "profile", storable_profile(self.profile))
                check_profile(self.format, self.profile)
            except ValueError as error:
                raise SourceRefused("profile", str(error)) from None

    @property
    def stored_name(self) -> str:
        """The name by which a caller without a tenant knows the source."""
        return stored_source_name(self.name, self.tenant)


def _is_currency(code: str) -> bool:
    try:
        decimals_of(code)
    except MoneyError:
        return False
    return True


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return False
    return len(name) <= words.TIME_ZONE_MAX_CHARS


def stored_source_name(name: str, tenant: str | None) -> str:
    """Return tenant~name, as of a tenant's accounts."""
    return name if tenant is None else f"{tenant}{TENANT_SEPARATOR}{name}"


async def add_source(tx: AsyncConnection, source: NewSource, operator: Operator) -> AnyRow:
    """Store a source, on record; return its row. Raises SourceExists, SourceRefused."""
    await _check_time_zone(tx, source.time_zone)
    values = {name: getattr(source, name) for name in NewSource.__slots__}
    added = upsert(recon_sources).values(values).on_conflict_do_nothing()
    if (await tx.execute(added)).rowcount == 0:
        raise SourceExists(SourceExists.__doc__)
    await record_action(tx, "add_source", operator, subject=f"source {source.stored_name}")
    return await find_source(tx, source.name, source.tenant)


async def _check_time_zone(tx: AsyncConnection, name: str) -> None:
    """Refuse a zone that Postgres does not know: the days of entries are computed there."""
    known = text("SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = :name)")
    if not (await tx.execute(known, {"name": name})).scalar_one():
        raise SourceRefused("timeZone", "must be an IANA zone that the database knows")


async def find_source(tx: AsyncConnection, name: str, tenant: str | None) -> AnyRow:
    """Return the source with this name. Raises SourceNotFound.

    A caller without a tenant names a tenant's source as tenant~name.
    """
    if tenant is None and TENANT_SEPARATOR in name:
        tenant, _, name = name.partition(TENANT_SEPARATOR)
    query = select(recon_sources).where(
        recon_sources.c.name == name, recon_sources.c.tenant.is_not_distinct_from(tenant)
    )
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise SourceNotFound(SourceNotFound.__doc__)
    return row


async def other_accounts(tx: AsyncConnection, source: AnyRow) -> frozenset[str]:
    """Return the accounts of the other sources of the source's tenant."""
    query = select(recon_sources.c.account_identifier).where(
        recon_sources.c.tenant.is_not_distinct_from(source.tenant), recon_sources.c.id != source.id
    )
    return frozenset((await tx.execute(query)).scalars())


async def list_sources(
    tx: AsyncConnection, tenant: str | None, limit: int, walk: Walk[int] = NEWEST_FIRST
) -> Sequence[AnyRow]:
    """Return sources along the walk, by id; a caller without a tenant sees all."""
    key = recon_sources.c.id
    query = select(recon_sources).where(*walk.beyond(key))
    if tenant is not None:
        query = query.where(recon_sources.c.tenant == tenant)
    return (await tx.execute(query.order_by(*walk.order(key)).limit(limit))).all()
