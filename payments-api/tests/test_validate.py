"""`payments-api validate` says which checks did not run."""

from typing import Any, cast

import httpx
import pytest

from payments_api.validate import CHECKS, Validation, _as_text


async def test_checks_after_a_rejected_payment_are_marked_as_not_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rejects = httpx.MockTransport(lambda _: httpx.Response(401, json={"code": "unauthorized"}))
    async with httpx.AsyncClient(transport=rejects, base_url="http://api.example") as api:
        status = await _as_text("http://api.example", Validation(api, cast("Any", None)))
    assert status == 1
    _, _, summary = capsys.readouterr().out.partition("Summary:\n")
    first, *others = summary.splitlines()
    assert first == f"  • {CHECKS[0]}: ❌"
    assert others == [f"  • {name}: ➖ not run" for name in CHECKS[1:]]
