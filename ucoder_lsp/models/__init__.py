"""The choice and preparation of the served GGUF file.

Inference is in `engine`.
"""
