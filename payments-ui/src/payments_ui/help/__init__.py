"""The help page, and the documents that the page links to."""
