"""Amounts and settings: exact to the minor unit, and without secrets in errors."""

import io
import re
from contextlib import redirect_stderr
from decimal import Decimal
from unittest.mock import patch

import pytest
from hypothesis import strategies as st

from payments_api.settings import ApiSettings
from payments_core.config import read_settings, variables_of
from payments_core.db.url import dsn_with_password, read_url
from payments_core.domain.money import (
    AMOUNT_LIMIT,
    MoneyError,
    amount_text,
    currencies,
    decimals_of,
    parse_amount,
)
from payments_ui.settings import Settings as UiSettings
from recon_worker.settings import WorkerSettings
from testkit.fuzz.exploring import explored
from testkit.fuzz.inputs import NUMBERS, TEXTS

SECRET = "hunter2-XYZZY"
_JSON_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")


def _expected(text: str, decimals: int) -> Decimal | None:
    """Return the amount by integer arithmetic, or None if it must be rejected."""
    found = _JSON_NUMBER.fullmatch(text) if len(text) <= 64 and text.isascii() else None
    if found is None:
        return None
    sign, whole, fraction, exponent = found.groups(default="")
    digits, scale = int(whole + fraction), int(exponent or 0) - len(fraction)
    if digits and not -100 < scale < 100:
        return None
    units, rest = divmod(digits * 10 ** max(0, scale + decimals), 10 ** max(0, -scale - decimals))
    if digits and (rest or units >= int(AMOUNT_LIMIT) * 10**decimals):
        return None
    return Decimal(-units if sign else units).scaleb(-decimals) if digits else Decimal(0)


@explored(NUMBERS | TEXTS, st.sampled_from(currencies()))
def test_any_text_is_an_exact_amount_or_rejected(text: str, currency: str) -> None:
    expected = _expected(text, decimals_of(currency))
    try:
        amount = parse_amount(text, currency)
    except MoneyError as error:
        assert expected is None, error
    else:
        assert amount == expected
        shown = amount_text(amount)
        assert parse_amount(shown, currency) == amount
        assert amount_text(parse_amount(shown, currency)) == shown


@explored(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.floats() | st.binary(),
    st.sampled_from(["USD", "XXX", "", None, 7, ("USD",), ["USD"]]),
)
def test_any_json_value_is_an_amount_or_rejected(raw: object, currency: object) -> None:
    try:
        amount = parse_amount(raw, currency)  # type: ignore[arg-type]  # As JSON may give it.
    except MoneyError as error:
        assert str(error)
    else:
        assert amount.is_finite()


URLS = st.one_of(
    TEXTS.filter(lambda text: "\0" not in text),
    st.builds(
        "{}://{}:{}@{}:{}/{}{}".format,
        st.sampled_from(["postgresql", "postgres", "postgresql+asyncpg", "http", ""]),
        st.text("ab%@:/?#[] é", max_size=8),
        st.just(SECRET),
        st.text("localhst.[:]%,", max_size=12),
        st.text("0123456789x", max_size=6),
        st.text("payments%/ ", max_size=8),
        st.text("?&=sslmode%", max_size=12),
    ),
)
ENCODABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


@explored(URLS)
@pytest.mark.filterwarnings("ignore")
def test_a_database_url_is_accepted_or_rejected_without_its_secret(url: str) -> None:
    message = io.StringIO()
    environ = {"DATABASE_URL": url.encode(errors="replace").decode()}
    try:
        with patch.dict("os.environ", environ), redirect_stderr(message):
            settings = read_settings(ApiSettings)
    except SystemExit as stop:
        assert stop.code == 2
        assert message.getvalue().startswith("DATABASE_URL: ")
        assert SECRET not in message.getvalue()
    else:
        assert read_url(dsn_with_password(settings.database_url, None)).dsn


SERVICES = (ApiSettings, WorkerSettings, UiSettings)
VARIABLES = [(service, v.name) for service in SERVICES for v in variables_of(service)]


@explored(st.sampled_from(VARIABLES), ENCODABLE | NUMBERS)
def test_any_value_of_a_variable_is_accepted_or_rejected_by_name(
    variable: tuple[type[ApiSettings], str], value: str
) -> None:
    service, name = variable
    message = io.StringIO()
    try:
        with patch.dict("os.environ", {name: value}), redirect_stderr(message):
            read_settings(service)
    except SystemExit as stop:
        assert stop.code == 2
        # Names the variable, or another one that must be consistent with it.
        assert any(other.name in message.getvalue() for other in variables_of(service))
        assert "Traceback" not in message.getvalue()
