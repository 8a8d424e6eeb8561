"""Inputs of hostile and careless clients, as strategies."""

import json
from decimal import Decimal

from hypothesis import strategies as st

# Including lone surrogates and NUL, which JSON can escape.
TEXTS = st.text(st.characters(), max_size=60)
ODD_NUMBERS = st.one_of(
    st.sampled_from(["0", "-0", "-0.0", "0e99", "1e2", "1E+2", "0.13", "1.005", "1e15"]),
    st.sampled_from(["1e999999999", "-1e-999999999", "1e99999999999999999999"]),
    st.sampled_from(["NaN", "Infinity", "01", "1.", ".5", "+1", "1_0", "١", "0x10", "--1"]),
    st.sampled_from([399, 401, 5000]).map("9".__mul__),
)
NUMBERS = st.one_of(
    ODD_NUMBERS,
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.decimals(min_value=-(10**15), max_value=10**15, places=2).map(str),
)
# In the form of parse_json_object: no float, but any Decimal of a JSON number.
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | TEXTS | st.decimals(allow_nan=None),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


@st.composite
def json_texts(draw: st.DrawFn) -> str:
    """Return texts like JSON: odd numbers, repeated names, deep nesting, truncation."""
    kind = draw(st.integers(0, 7))
    if kind <= 1:
        return draw(NUMBERS)
    if kind == 2:
        return json.dumps(draw(TEXTS), ensure_ascii=draw(st.booleans()))
    if kind == 3:
        return draw(st.sampled_from(["null", "true", "false", "", " ", "\ufeff{}", "/**/", "{"]))
    if kind == 4:
        depth = draw(st.sampled_from([1, 2, 50, 900, 1100, 20_000]))
        return draw(st.sampled_from(["[", '{"a":'])) * depth + draw(
            st.sampled_from(["", "]" * depth])
        )
    names = st.sampled_from(["accountId", "amount", "currency", "description", "a"]) | TEXTS
    inner = st.sampled_from(['"acc_1"', "1", '"1.00"', '"USD"', "{}", "[[]]"]) | NUMBERS
    pairs = draw(st.lists(st.tuples(names, inner), max_size=5))
    return "{" + ",".join(f"{json.dumps(name)}: {value}" for name, value in pairs) + "}"


BODIES = st.one_of(
    st.binary(max_size=200),
    json_texts().map(lambda text: text.encode("utf-8", "surrogatepass")),
    json_texts().map(lambda text: text.encode("utf-16", "surrogatepass")),
)


def orders() -> st.SearchStrategy[dict[str, object]]:
    """Return bodies, some of which are valid payments."""
    amounts = st.one_of(
        st.decimals(min_value=-(10**15), max_value=10**15, places=2),
        st.decimals(min_value=-9, max_value=9, places=4).map(str),
        ODD_NUMBERS,
        JSON_VALUES,
        st.just(Decimal("NaN")),
    )
    fields = {
        "accountId": st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,127}\Z") | JSON_VALUES,
        "amount": amounts,
    }
    optional = {
        "currency": st.sampled_from(["USD", "JPY", "BHD", "CLF", "XAU", "usd", ""]) | JSON_VALUES,
        "description": TEXTS | JSON_VALUES,
        "odd": JSON_VALUES,
    }
    return st.fixed_dictionaries(fields, optional=optional)
