"""The language server and its parts: configuration, engine, models, adapters and completion."""
