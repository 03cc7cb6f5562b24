"""The inference engine: K candidates from one prompt on a local quantized model.

The only importer of llama_cpp.
"""
