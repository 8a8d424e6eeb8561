"""JSON of runs, matches, breaks, lines and open entries, as the caller knows them."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from payments_api.auth.item_ids import ItemIds
from payments_api.statements.statement_json import line_json
from payments_core.db.engine import AnyRow
from payments_core.db.keyset import Walk
from payments_core.domain.matching import BRIDGE_LINES
from payments_core.domain.money import currency_text
from payments_core.domain.payments import time_or_none, utc_text
from payments_core.matching import history
from payments_core.matching.breaks import Break
from payments_core.matching.bridge import Bridge
from payments_core.matching.candidates import SETTLED, Open

REPORT_COLUMNS = ("source", "on", "asOf", "currency", "verdict", "line", "amount", "count")


def report_json(source: str, currency: str, bridge: Bridge) -> dict[str, Any]:
    """Return a day's report."""
    return {"source": source, "currency": currency, **bridge.as_json(currency)}


def report_csv(report: dict[str, Any]) -> str:
    """Return a day's report as CSV, one line of the bridge in each row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(REPORT_COLUMNS)
    head = [report[name] for name in REPORT_COLUMNS[:5]]
    for name, _, count in BRIDGE_LINES:
        number = "" if count is None else report["counts"][count]
        writer.writerow((*head, name, report["bridge"][name], number))
    return text.getvalue()


def run_json(row: AnyRow, currency: str, ids: ItemIds) -> dict[str, Any]:
    """Return a run; one that has not finished has no outcome."""
    stored = row.counts
    counts = json.loads(stored) if isinstance(stored, str) else stored
    return {
        "id": ids.shown("run", row.id),
        "asOf": row.as_of.isoformat(),
        "ruleSet": row.rule_set,
        "inputHash": row.input_hash.hex(),
        "outputHash": row.output_hash and row.output_hash.hex(),
        "verdict": row.verdict,
        "verdictOn": row.verdict_on and row.verdict_on.isoformat(),
        "residual": None if row.residual is None else currency_text(row.residual, currency),
        "counts": counts
        and {
            "matchesByRule": counts["matches"],
            "matchedLines": counts["lines"],
            "matchedEntries": counts["entries"],
            "openLines": counts["open_lines"],
            "suggestedLines": counts["suggested"],
            "openEntries": counts["open_entries"],
            "breaks": counts["breaks"],
        },
        "startedAt": utc_text(row.started_at),
        "finishedAt": time_or_none(row.finished_at),
        "undoneAt": time_or_none(row.undone_at),
        "undoneBy": row.undone_by,
        "undoneReason": row.undone_reason,
    }


def of_source_json(row: AnyRow, ids: ItemIds) -> dict[str, Any]:
    """Return a line with the file that it came with."""
    return {**line_json(row, ids), "statementFileId": str(row.file_id)}


def line_detail_json(row: AnyRow, found: Open | None, ids: ItemIds) -> dict[str, Any]:
    """Return a line with its match or, while it is open, its candidates."""
    return {
        **of_source_json(row, ids),
        "matchId": row.match_id and ids.shown("match", row.match_id),
        **(found.as_json(ids.shown) if found else SETTLED),
    }


def entry_json(row: AnyRow, ids: ItemIds) -> dict[str, Any]:
    """Return an open entry; money in is positive."""
    return {
        **_leg_json(row, ids),
        "reference": row.reference,
        "breakOn": row.break_on.isoformat(),
    }


def _leg_json(row: AnyRow, ids: ItemIds) -> dict[str, Any]:
    return {
        "id": ids.shown("entry", row.id),
        "paymentId": None if row.adjustment_id else str(row.payment_id),
        "adjustmentId": row.adjustment_id and str(row.adjustment_id),
        "amount": currency_text(row.amount, row.currency),
        "currency": row.currency,
        "bookedOn": row.booked_on.isoformat(),
    }


def match_json(
    row: AnyRow,
    legs: tuple[AnyRow, Sequence[AnyRow], Sequence[AnyRow]],
    currency: str,
    ids: ItemIds,
) -> dict[str, Any]:
    """Return a match with its sum and the first of its lines and entries."""
    counted, lines, entries = legs
    return {
        **history.match_json(row, counted.amount, currency, ids.shown),
        "lineCount": counted.lines,
        "entryCount": counted.entries,
        "lines": [of_source_json(line, ids) for line in lines],
        "entries": [_leg_json(entry, ids) for entry in entries],
    }


def break_key(row: AnyRow) -> int:
    """Return a break as a number: that of its item, and its side in the last bit."""
    return key_of_item(row.side, row.item_id)


def key_of_item(side: str, item_id: int) -> int:
    """Return the number of the break of an item."""
    return int(item_id) * 2 + int(side == "entry")


def item_of_key(key: int) -> tuple[str, int]:
    """Return the side and the item of a break's number."""
    return ("entry" if key % 2 else "line"), key // 2


def walk_of_items(walk: Walk[int]) -> Walk[tuple[str, int]]:
    """Return the walk along breaks' numbers as one along their items."""
    start = None if walk.start is None else item_of_key(walk.start)
    return Walk(start, walk.backward, walk.list_descends)


def break_json(each: Break, as_of: date, currency: str, ids: ItemIds) -> dict[str, Any]:
    """Return a break. Its own id is a hash of numbers, which a tenant could find by trial."""
    shown = each.as_json(as_of, currency, ids.shown)
    resolved = getattr(each.row, "resolved_at", None)
    return {
        **shown,
        "id": each.row.id if ids.tenant is None else ids.shown("break", break_key(each.row)),
        "resolvedAt": time_or_none(resolved),
        "resolvedBy": getattr(each.row, "resolved_by", None),
    }
