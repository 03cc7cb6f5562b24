"""The inference engine: K candidates from one prompt on a local quantized model.

The only importer of llama_cpp. Import `ucoder_lsp.engine.engine.Engine` for the work; the data it takes and
gives are in `ucoder_lsp.engine.types`, what can go wrong in `ucoder_lsp.engine.errors`.
"""
