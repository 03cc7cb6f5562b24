"""The language server and what it serves with: configuration, engine, model store, adapters, completion flow."""
