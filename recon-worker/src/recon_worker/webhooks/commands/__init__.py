"""`recon-worker webhooks`: its commands, by what they are about."""
