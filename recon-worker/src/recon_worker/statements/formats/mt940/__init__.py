"""MT940 and MT942: SWIFT statements of a bank."""
