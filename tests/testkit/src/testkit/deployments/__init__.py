"""The system as processes, images, a compose project or rendered manifests."""
