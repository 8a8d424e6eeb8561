"""Pages: pay, list payments, show one."""
