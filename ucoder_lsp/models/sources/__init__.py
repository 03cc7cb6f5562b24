"""Where a model file can come from, and how it arrives whole.

`fetch` tries the sources in order. Each source delivers a part file in a hidden folder of the store; only a part whose
size and SHA-256 are the published ones is renamed to its place. A part survives a killed process, and the next try
goes on where it ended.
"""
