"""The revisions in order: r0001, r0002, ..."""
