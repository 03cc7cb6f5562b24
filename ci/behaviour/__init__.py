"""The comparison of changed functions, in base and in every patch."""
