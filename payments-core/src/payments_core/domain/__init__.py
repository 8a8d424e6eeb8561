"""The domain: money, payments. It imports nothing else of ours."""
