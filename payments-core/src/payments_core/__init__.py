"""What the payment services agree on. It runs nothing by itself and imports no service."""
