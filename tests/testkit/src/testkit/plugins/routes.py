"""Compile each route once in a run of the tests, not anew for each test's app.

Werkzeug compiles a function for each route of an app, to build its URLs. For the API's routes that
takes half of the processor time of a test that makes one request.
"""

from collections.abc import Callable
from typing import Any

from werkzeug.routing.rules import Rule

Builder = Callable[..., tuple[str, str]]
_compile: Callable[[Rule, bool], Builder] = Rule._compile_builder
_builders: dict[Any, Builder] = {}


def _compile_once(rule: Rule, append_unknown: bool = True) -> Builder:
    if rule.defaults or rule.host or rule.subdomain:
        return _compile(rule, append_unknown)
    # The function gets the rule, with its converters, when it is called.
    key = (rule.rule, tuple(rule._trace), append_unknown)
    if key not in _builders:
        _builders[key] = _compile(rule, append_unknown)
    return _builders[key]


def pytest_configure() -> None:
    """Replace werkzeug's private method; if a release renames it, this fails by name."""
    Rule._compile_builder = _compile_once  # type: ignore[method-assign,assignment]
