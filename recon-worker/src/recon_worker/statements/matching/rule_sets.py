"""Rule sets: the rules of a source's runs, as canonical JSON; versioned, never changed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from payments_core.domain.matching import RULES_MAX_BYTES
from payments_core.domain.money import MoneyError, parse_earlier_amount
from payments_core.matching.matches import MatchRefused

DAYS_MAX = 30
ORDER = ("reference", "bank_reference", "batch_sum", "amount_and_date", "tolerance")
_FIELDS: Mapping[str, frozenset[str]] = {
    "reference": frozenset(),
    "bank_reference": frozenset(),
    "batch_sum": frozenset(),
    "amount_and_date": frozenset({"days", "automatic"}),
    "tolerance": frozenset({"amount", "charges"}),
}

READ = "SELECT version, rules, sha256 FROM recon_rule_sets WHERE version = $1"
FIND = "SELECT version FROM recon_rule_sets WHERE sha256 = $1"
# Two at once: the second violates the primary key, and its command is repeated.
ADD = """
INSERT INTO recon_rule_sets (version, rules, sha256)
SELECT max(version) + 1, $1, $2 FROM recon_rule_sets RETURNING version"""
TAKE = "UPDATE recon_sources SET rule_set = $2 WHERE id = $1"


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one version. `window_days` is None without the rule for amount and date."""

    version: int
    sha256: bytes
    exact: tuple[str, ...]
    window_days: int | None
    window_is_automatic: bool
    tolerance: Decimal | None
    charges: bool


def canonical(text: str) -> str:
    """Return the rules as they are stored and hashed. Raises MatchRefused."""
    try:
        raw = json.loads(text, parse_float=str)
    except ValueError as error:
        raise MatchRefused(f"the rules are not JSON: {error}") from None
    _check(raw)
    rules = json.dumps(raw, sort_keys=True)
    if len(rules.encode()) > RULES_MAX_BYTES:
        raise MatchRefused(f"the rules are larger than {RULES_MAX_BYTES} bytes")
    return rules


def _check(raw: Any) -> None:
    if not isinstance(raw, dict) or raw.keys() != {"rules"} or not isinstance(raw["rules"], list):
        raise MatchRefused('rules are an object {"rules": [...]}')
    names = []
    for rule in raw["rules"]:
        name = rule.get("rule") if isinstance(rule, dict) else None
        if name not in ORDER:
            raise MatchRefused(f"a rule is one of {', '.join(ORDER)}, not {name!r}")
        if unknown := rule.keys() - {"rule"} - _FIELDS[name]:
            raise MatchRefused(f"the rule {name} has no {min(unknown)!r}")
        names.append(name)
        _check_values(name, rule)
    if names != sorted(set(names), key=ORDER.index):
        raise MatchRefused(f"rules are in the order {', '.join(ORDER)}, each once")


def _check_values(name: str, rule: Mapping[str, Any]) -> None:
    if name == "amount_and_date":
        days = rule.get("days")
        if isinstance(days, bool) or not isinstance(days, int) or not 0 <= days <= DAYS_MAX:
            raise MatchRefused(f"days must be a number from 0 to {DAYS_MAX}, not {days!r}")
    if name == "tolerance":
        try:
            amount = parse_earlier_amount(rule.get("amount", "0"))
        except MoneyError as error:
            raise MatchRefused(f"the amount of the tolerance {error}") from None
        if amount < 0:
            raise MatchRefused("the amount of the tolerance must not be negative")
    for switch in rule.keys() & {"automatic", "charges"}:
        if not isinstance(rule[switch], bool):
            raise MatchRefused(f"{switch} must be true or false")


def parse(version: int, rules: str, sha256: bytes) -> RuleSet:
    """Return the rule set of a stored row."""
    by_name = {rule["rule"]: rule for rule in json.loads(rules)["rules"]}
    window = by_name.get("amount_and_date")
    tolerance = by_name.get("tolerance")
    return RuleSet(
        version,
        sha256,
        tuple(name for name in ORDER[:3] if name in by_name),
        window["days"] if window else None,
        bool(window and window.get("automatic", False)),
        Decimal(tolerance.get("amount", "0")) if tolerance else None,
        bool(tolerance and tolerance.get("charges", False)),
    )


async def read_rule_set(tx: AsyncConnection, version: int) -> RuleSet:
    """Return the rule set with this version."""
    row = (await tx.exec_driver_sql(READ, (version,))).one()
    return parse(row.version, row.rules, row.sha256)


async def take_rules(tx: AsyncConnection, source_id: int, text: str) -> int:
    """Give the source these rules, as an existing or a new version; return it.

    Raises MatchRefused.
    """
    rules = canonical(text)
    sha256 = hashlib.sha256(rules.encode()).digest()
    version: int | None = (await tx.exec_driver_sql(FIND, (sha256,))).scalar()
    if version is None:
        version = (await tx.exec_driver_sql(ADD, (rules, sha256))).scalar_one()
    await tx.exec_driver_sql(TAKE, (source_id, version))
    return version


async def describe(tx: AsyncConnection, version: int) -> dict[str, Any]:
    """Return a rule set's version, hash and rules."""
    row = (await tx.exec_driver_sql(READ, (version,))).one()
    return {"version": row.version, "sha256": row.sha256.hex(), **json.loads(row.rules)}
