"""The gate for proposed patches: accept on consensus, abstain otherwise."""
