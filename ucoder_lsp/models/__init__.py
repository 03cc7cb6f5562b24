"""The choice and preparation of the served GGUF file; inference is in `engine`."""
