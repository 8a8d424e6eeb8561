"""What all pages share: security, assets, errors, formatting, charts."""
