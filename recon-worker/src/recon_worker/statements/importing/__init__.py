"""Import of received files: all of a file in one transaction, or none of it."""
