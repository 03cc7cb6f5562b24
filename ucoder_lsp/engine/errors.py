"""The errors of the engine: one class per kind.

Every message holds a remedy. Failures of llama.cpp (its return codes) become one of these in `context`.
"""

from __future__ import annotations


class EngineError(Exception):
    """The engine cannot serve the request; the message holds a remedy."""


class ModelLoadError(EngineError):
    """llama.cpp rejected the model file."""


class PromptTooLong(EngineError):
    """The prompt and the new tokens do not fit into the context.

    Attributes:
        n_prompt: tokens of the prompt.
        n_prompt_max: the longest prompt that fits with the same `max_tokens`.
    """

    def __init__(self, n_prompt: int, max_tokens: int, n_ctx: int) -> None:
        self.n_prompt = n_prompt
        self.n_prompt_max = max(0, n_ctx - max_tokens)
        super().__init__(
            f"A prompt of {n_prompt} tokens and {max_tokens} new ones exceed the context of {n_ctx}: "
            f"trim the prompt to {self.n_prompt_max} tokens, lower max_tokens, or raise n_ctx."
        )


class UnknownAdapter(EngineError):
    """The request names an adapter that was never loaded."""

    def __init__(self, identity: str) -> None:
        super().__init__(f"Adapter {identity} is not loaded: call load_adapter first, or use the base model.")


class AdapterLoadError(EngineError):
    """llama.cpp rejected the adapter file: damaged, missing, or made for another model."""


class EngineClosed(EngineError):
    """The engine was closed before or while the request waited."""

    def __init__(self) -> None:
        super().__init__("The engine is closed: load a new one with Engine.load.")
