"""The language server: protocol, service and client; the completion logic is in `completion`."""
