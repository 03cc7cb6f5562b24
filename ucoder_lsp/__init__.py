"""The language server and what it serves with: configuration, engine, models, adapters, completion."""
