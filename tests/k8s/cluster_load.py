"""Payments from inside the cluster: run by `python -` in a payments-ui pod, which reaches the API.

Arguments: address, seconds, tries. Each payment has its own key and is tried up to `tries` times
with it, on a new connection each time, so that the Service chooses the pod. Prints JSON:
{"paid": [ids], "failed": [reasons], "retried": n}.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

PAUSE_SECONDS = 0.02


def pay(address: str, number: int, key: str) -> str:
    """Create a payment; return its id."""
    body = json.dumps({"accountId": f"acc_{number % 20}", "amount": "1.00"}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    headers["Authorization"] = f"Bearer {os.environ['PAYMENTS_UI_API_KEY']}"
    request = urllib.request.Request(f"{address}/payments", body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["id"])


def main(address: str, seconds: float, tries: int) -> None:
    """Create payments for that time."""
    paid: list[str] = []
    failed: list[str] = []
    retried = number = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number += 1
        key = str(uuid.uuid4())
        for attempt in range(tries):
            try:
                paid.append(pay(address, number, key))
                break
            except (OSError, urllib.error.URLError) as error:
                if attempt + 1 == tries:
                    failed.append(repr(error))
                else:
                    retried += 1
                    time.sleep(0.2)
        time.sleep(PAUSE_SECONDS)
    print(json.dumps({"paid": paid, "failed": failed, "retried": retried}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
