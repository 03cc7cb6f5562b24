"""The reading of patches, and trees of the repository with a patch applied."""
