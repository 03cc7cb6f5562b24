"""The path from a cursor position to one completion.

It is independent of the editor's protocol.
"""
