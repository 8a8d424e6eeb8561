"""camt.052, camt.053 and camt.054: ISO 20022 statements of a bank."""
