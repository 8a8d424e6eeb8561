"""Parts that all pages share: security, assets, errors, formatting, charts."""
