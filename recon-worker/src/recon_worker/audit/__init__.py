"""The auditor: invariants of the books, checked continuously."""
