"""The README's first steps work as described."""

import json
import re
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

from testkit.deployments.deployment import Deployment, balance

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK_SECONDS_MAX = 60.0


def _pasted_block() -> str:
    """Return the README's only shell block that creates a payment."""
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(), re.DOTALL)
    (block,) = [text for text in blocks if "Idempotency-Key" in text]
    return str(block)


def _shown_answer() -> Any:
    """Return the README's only JSON: the answer to the block's last request."""
    (shown,) = re.findall(r"```json\n(.*?)```", README.read_text(), re.DOTALL)
    return json.loads(shown)


def test_the_pasted_block_pays_and_a_second_run_pays_again(deployment: Deployment) -> None:
    block = _pasted_block().replace("http://localhost:3001", deployment.api_url)
    with deployment.client() as client:
        # Both ways of running the services share a database, and therefore the README's account.
        before = Decimal(balance(client, "acc_42"))
    for paid in (100, 200):
        ended = subprocess.run(
            ["bash", "-e", "-c", block],
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS_MAX,
            check=True,
        )
        created, listed, account = (
            json.loads(line) for line in ended.stdout.splitlines() if line.strip()
        )
        assert ended.stderr == ""
        assert created["amount"] == "100.00"
        assert account.keys() == _shown_answer().keys()
        (newest,) = listed["payments"]
        assert (newest["id"], newest["status"]) == (created["id"], "completed")
        assert Decimal(account["balance"]) == before + paid
