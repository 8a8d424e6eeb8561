"""Pages: pay, list payments, show a payment."""
