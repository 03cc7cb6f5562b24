"""Published adapters: registry, manifests, served version; training is in `trainer`."""
