"""The model store: which GGUF file is served, and how it is prepared; inference is in `engine`."""
