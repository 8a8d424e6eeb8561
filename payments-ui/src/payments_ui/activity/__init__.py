"""Pages: what operators did."""
