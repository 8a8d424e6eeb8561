"""Signatures of Standard Webhooks: HMAC-SHA256 over id, timestamp and body.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hmac
from collections.abc import Sequence


def signed_headers(
    event_id: str, timestamp: int, body: bytes, secrets: Sequence[bytes]
) -> list[tuple[str, str]]:
    """Return the three headers that sign a body; one signature for each live secret.

    `timestamp` is the attempt's, in seconds since 1970.
    """
    signed = b".".join((event_id.encode(), str(timestamp).encode(), body))
    signatures = (
        base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets
    )
    return [
        ("webhook-id", event_id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", " ".join(f"v1,{signature}" for signature in signatures)),
    ]
