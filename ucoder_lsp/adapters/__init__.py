"""Published adapters: their registry, their manifests and the served version; training is in `trainer`."""
