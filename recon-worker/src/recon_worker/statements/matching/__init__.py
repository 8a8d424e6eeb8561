"""Match the lines of a source's statements with the ledger's entries, by rules in order."""
