"""Which LoRA adapters are loaded beside the model, and which one the context computes with.

An adapter is known by its identity (the registry's version id). Known adapters are remembered by path; the
few used last stay loaded, the others are loaded again when a request names them (12 to 39 ms for rank 16 on
0.5 B parameters). Used in the engine's thread only.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from ucoder_lsp.engine.context import Adapter, Context, LoadedModel
from ucoder_lsp.engine.errors import AdapterLoadError, UnknownAdapter

MAX_LOADED = 4
"""Adapters that stay loaded."""


class LoadedAdapters:
    """The adapters of one context."""

    def __init__(self, model: LoadedModel, context: Context) -> None:
        self._model = model
        self._context = context
        self._paths: dict[str, Path] = {}
        self._loaded: OrderedDict[str, Adapter] = OrderedDict()
        self.active: str | None = None

    def add(self, identity: str, path: Path) -> None:
        """Load an adapter and remember it.

        Raises:
            AdapterLoadError: the file does not load, or the identity already names another file.
        """
        known = self._paths.get(identity)
        if known is not None and known != path:
            raise AdapterLoadError(
                f"Adapter {identity} is already loaded from {known}: publish {path} as a new version."
            )
        self._paths[identity] = path
        try:
            self._get(identity)
        except AdapterLoadError:
            if known is None:
                del self._paths[identity]
            raise

    def activate(self, identity: str | None) -> bool:
        """Compute with this adapter (None: the base model alone) from now on.

        Returns:
            Whether that changed anything: then the KV cache belongs to the old one and must be cleared.

        Raises:
            UnknownAdapter: it was never added.
            AdapterLoadError: it had to be loaded again and its file is gone or damaged.
        """
        if identity == self.active:
            return False
        if identity is not None and identity not in self._paths:
            raise UnknownAdapter(identity)
        self._context.set_adapter(None if identity is None else self._get(identity))
        self.active = identity
        return True

    def close(self) -> None:
        """Free all; the context must be gone or unused."""
        while self._loaded:
            self._loaded.popitem()[1].close()

    def _get(self, identity: str) -> Adapter:
        adapter = self._loaded.get(identity)
        if adapter is None:
            adapter = self._loaded[identity] = Adapter(self._model, self._paths[identity])
        self._loaded.move_to_end(identity)
        for old in [i for i in self._loaded if i not in (self.active, identity)]:
            if len(self._loaded) <= MAX_LOADED:
                break
            self._loaded.pop(old).close()
        return adapter
