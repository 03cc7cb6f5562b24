"""The parsing of patches, and trees with a patch applied."""
