"""The language server: protocol, service and client.

The completion logic is in `completion`.
"""
