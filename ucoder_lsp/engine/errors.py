"""What can go wrong in the engine: one class a kind, every message with the way out.

Foreign failures (llama.cpp's return codes) become one of these at the boundary in `context`.
"""

from __future__ import annotations


class EngineError(Exception):
    """The engine could not do what was asked; the message says what to do about it."""


class ModelLoadError(EngineError):
    """llama.cpp refused the model file."""


class PromptTooLong(EngineError):
    """The prompt and the new tokens asked for do not fit into the context.

    Attributes:
        n_prompt: tokens of the prompt.
        n_prompt_max: the longest prompt that fits with the same `max_tokens`; trim to this.
    """

    def __init__(self, n_prompt: int, max_tokens: int, n_ctx: int) -> None:
        self.n_prompt = n_prompt
        self.n_prompt_max = max(0, n_ctx - max_tokens)
        super().__init__(
            f"A prompt of {n_prompt} tokens and {max_tokens} new ones exceed the context of {n_ctx}: "
            f"trim the prompt to {self.n_prompt_max} tokens, ask for fewer new tokens, or raise n_ctx."
        )


class UnknownAdapter(EngineError):
    """The request names an adapter that was never loaded."""

    def __init__(self, identity: str) -> None:
        super().__init__(
            f"Adapter {identity} is not loaded: call load_adapter first, or ask for the base model."
        )


class AdapterLoadError(EngineError):
    """llama.cpp refused the adapter file: corrupt, missing, or made for another model."""


class EngineClosed(EngineError):
    """The engine was closed while the request waited, or before it came."""

    def __init__(self) -> None:
        super().__init__("The engine is closed: load a new one with Engine.load.")
