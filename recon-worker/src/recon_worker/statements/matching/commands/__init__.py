"""`recon-worker reconcile`: its commands, by what they are about."""
