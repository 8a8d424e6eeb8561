"""Statement readers: bytes in, events out, without database or clock."""
