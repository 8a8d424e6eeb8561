"""Statements in the orders and shapes in which banks send them, and what each day should say."""

from collections.abc import Sequence
from dataclasses import dataclass

from testkit.camt_files import Day

from .days import statement


@dataclass(frozen=True, slots=True)
class Case:
    """Statements in the order of their arrival, and the difference accepted up to each day.

    A quarantined one is accepted by an operator.
    """

    arrivals: Sequence[Day]
    accepted: dict[int, str]
    quarantined: int = 0


ONE, TWO, THREE = (statement(day, day, {day: "1.00"}, f"{99 + day}.00") for day in (1, 2, 3))
CASES = {
    "day by day": Case([ONE, TWO, THREE], {1: "0", 2: "0", 3: "0"}),
    "the older ones later": Case([THREE, TWO, ONE], {1: "0", 2: "0", 3: "0"}),
    "a day of a week again": Case(
        [
            statement(1, 5, {1: "1.00", 3: "2.00", 5: "4.00"}, "100.00"),
            statement(3, 3, {3: "2.00"}, "101.00"),
            statement(6, 6, {6: "8.00"}, "107.00"),
        ],
        {1: "0", 3: "0", 4: "0", 5: "0", 6: "0"},
    ),
    "a week after its days": Case(
        [ONE, TWO, THREE, statement(1, 3, {1: "1.00", 2: "1.00", 3: "1.00"}, "100.00")],
        {1: "0", 2: "0", 3: "0"},
    ),
    "a statement that does not close": Case(
        [
            ONE,
            statement(2, 2, {2: "1.00"}, "101.00", "90.00"),
            statement(3, 3, {3: "1.00"}, "90.00"),
        ],
        {1: "0", 2: "-12.00", 3: "-12.00"},
        quarantined=1,
    ),
    "the first does not close": Case(
        [statement(1, 1, {1: "1.00"}, "100.00", "90.00"), statement(2, 2, {2: "1.00"}, "90.00")],
        {1: "-11.00", 2: "-11.00"},
        quarantined=1,
    ),
    "a missing day": Case([ONE, THREE], {1: "0", 2: "0", 3: "1.00"}, quarantined=1),
    "a missing day that arrives in the end": Case(
        [ONE, THREE, TWO], {1: "0", 2: "0", 3: "0"}, quarantined=1
    ),
    "an older one that does not lead to the next": Case(
        [statement(3, 3, {3: "1.00"}, "110.00"), ONE], {1: "0", 2: "0", 3: "9.00"}, quarantined=1
    ),
    "a corrected closing balance": Case(
        [
            ONE,
            statement(1, 1, {1: "1.00"}, "100.00", "105.00"),
            statement(2, 2, {2: "1.00"}, "105.00"),
        ],
        {1: "4.00", 2: "4.00"},
        quarantined=1,
    ),
    "a difference, and the line that explains it": Case(
        [
            statement(1, 1, {1: "1.00"}, "100.00", "103.00"),
            statement(1, 1, {1: "1.00", 2: "2.00"}, "100.00", "103.00"),
            statement(2, 2, {2: "5.00"}, "103.00"),
        ],
        {1: "0", 2: "0"},
        quarantined=1,
    ),
    "a late line inside a week": Case(
        [
            statement(1, 5, {1: "1.00", 3: "2.00", 5: "4.00"}, "100.00"),
            statement(3, 3, {3: "2.00", 4: "0.50"}, "101.00"),
            statement(6, 6, {6: "8.00"}, "107.00"),
        ],
        {2: "0", 3: "0", 4: "0", 5: "-0.50", 6: "-0.50"},
        quarantined=1,
    ),
    "a week of which the end is known": Case(
        [
            statement(3, 7, {3: "1.00", 5: "2.00", 7: "4.00"}, "103.00"),
            statement(1, 5, {1: "1.00", 2: "2.00", 3: "1.00", 5: "2.00"}, "100.00"),
        ],
        {1: "0", 2: "0", 3: "0", 4: "0", 5: "0", 6: "0", 7: "0"},
    ),
    "two weeks of which the first is known": Case(
        [
            statement(1, 7, {1: "1.00", 7: "2.00"}, "100.00"),
            statement(1, 14, {1: "1.00", 7: "2.00", 9: "4.00", 14: "8.00"}, "100.00"),
        ],
        {3: "0", 7: "0", 8: "0", 9: "0", 13: "0", 14: "0"},
    ),
    "a month after some of its days": Case(
        [
            statement(4, 4, {4: "1.00"}, "103.00"),
            statement(5, 5, {5: "2.00"}, "104.00"),
            statement(1, 9, {2: "3.00", 4: "1.00", 5: "2.00", 8: "4.00"}, "100.00"),
        ],
        {1: "0", 2: "0", 3: "0", 4: "0", 5: "0", 7: "0", 8: "0", 9: "0"},
    ),
    "a day of a week with other balances": Case(
        [
            statement(1, 5, {1: "1.00", 3: "2.00", 5: "4.00"}, "100.00"),
            statement(3, 3, {3: "2.00"}, "201.00"),
            statement(6, 6, {6: "8.00"}, "107.00"),
        ],
        {2: "0", 3: "0", 5: "0", 6: "0"},
    ),
    "a day that contradicts the next one": Case(
        [
            statement(1, 1, {}, "100.00"),
            statement(3, 3, {3: "1.00"}, "100.00"),
            statement(2, 2, {2: "5.00"}, "100.00"),
        ],
        {1: "0", 2: "0", 3: "-5.00"},
        quarantined=1,
    ),
    "the first page of a day again": Case(
        [
            statement(1, 1, {1: "1.00"}, "100.00"),
            statement(1, 1, {1: "2.00"}, "101.00"),
            statement(1, 1, {1: "1.00"}, "100.00"),
            statement(2, 2, {2: "4.00"}, "103.00"),
        ],
        {1: "0", 2: "0"},
    ),
    "the second page of a day within a week": Case(
        [
            statement(1, 5, {1: "1.00", 2: "2.00", 5: "4.00"}, "100.00"),
            statement(1, 2, {2: "2.00"}, "101.00"),
            statement(1, 2, {1: "1.00"}, "100.00"),
        ],
        {1: "0", 2: "0", 3: "0", 5: "0"},
    ),
    "the second page of a first day, and then the week": Case(
        [
            statement(1, 2, {2: "2.00"}, "101.00"),
            statement(1, 5, {1: "1.00", 2: "2.00", 5: "4.00"}, "100.00"),
        ],
        {2: "0", 3: "0", 5: "0"},
        quarantined=1,
    ),
    "an empty statement of a day within a week": Case(
        [statement(1, 5, {1: "1.00", 5: "4.00"}, "100.00"), statement(1, 1, {}, "100.00")],
        {1: "-1.00", 3: "-1.00", 5: "0"},
        quarantined=1,
    ),
    "a part of an accepted gap": Case(
        [
            statement(6, 6, {6: "4.00"}, "107.00"),
            statement(2, 2, {2: "-3.00"}, "107.00"),
            statement(3, 3, {3: "1.00"}, "104.00"),
        ],
        {2: "0", 3: "0", 4: "0", 6: "2.00"},
        quarantined=1,
    ),
    "a line that the bank books later on an earlier day": Case(
        [
            ONE,
            statement(2, 2, {}, "101.00"),
            statement(1, 4, {1: "1.00", 2: "0.50", 4: "4.00"}, "100.00"),
        ],
        {1: "0", 2: "0", 3: "0", 4: "0"},
    ),
    "pages of a first day in reverse order": Case(
        [
            statement(1, 1, {1: "4.00"}, "103.00"),
            statement(1, 1, {1: "2.00"}, "101.00"),
            statement(1, 1, {1: "1.00"}, "100.00"),
            statement(2, 2, {2: "8.00"}, "107.00"),
        ],
        {1: "0", 2: "0"},
    ),
    "the first page of a first day between the others": Case(
        [
            statement(1, 1, {1: "2.00"}, "101.00"),
            statement(1, 1, {1: "1.00"}, "100.00"),
            statement(1, 1, {1: "4.00"}, "103.00"),
            statement(2, 2, {2: "4.00"}, "107.00"),
        ],
        {1: "0", 2: "0"},
    ),
    "the first page of a first day after the next day": Case(
        [
            statement(1, 1, {1: "2.00"}, "101.00"),
            statement(1, 1, {1: "4.00"}, "103.00"),
            statement(2, 2, {2: "8.00"}, "107.00"),
            statement(1, 1, {1: "1.00"}, "100.00"),
        ],
        {1: "0", 2: "0"},
    ),
    "the first page of a first day with a line of the second": Case(
        [
            statement(1, 2, {2: "2.00"}, "101.00"),
            statement(1, 2, {1: "1.00", 2: "2.00"}, "98.00"),
            statement(3, 3, {3: "4.00"}, "103.00"),
        ],
        {2: "0", 3: "0"},
    ),
    "a page that leads to the second of a day, but not from the day before": Case(
        [
            ONE,
            statement(2, 2, {2: "2.00"}, "101.00"),
            statement(2, 2, {2: "1.00"}, "100.00"),
        ],
        {1: "0", 2: "-1.00"},
        quarantined=1,
    ),
    "two pages of a day": Case(
        [statement(1, 1, {1: "1.00"}, "100.00"), statement(1, 1, {1: "2.00"}, "101.00")], {1: "0"}
    ),
    "two pages of a day, the second of which does not close": Case(
        [
            statement(1, 1, {1: "1.00"}, "100.00"),
            statement(1, 1, {1: "2.00"}, "101.00", "100.00"),
            statement(2, 2, {2: "1.00"}, "100.00"),
        ],
        {1: "-3.00", 2: "-3.00"},
        quarantined=1,
    ),
}
