"""The load during a run: customers, readers of the page, a steady rate."""
