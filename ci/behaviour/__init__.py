"""The comparison of what changed functions do, in base and in every patch."""
