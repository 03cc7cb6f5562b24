"""The adapter of the next request, as the registry chooses it.

A new adapter is loaded first. A publication never fails a request: when the new adapter cannot be used, the last good
one stays in service. The reason is kept for the user until another adapter is published or chosen.
"""

from __future__ import annotations

import threading

from ucoder_lsp.adapters.errors import AdapterError
from ucoder_lsp.adapters.manifest import AdapterVersion
from ucoder_lsp.adapters.registry import AdapterRegistry
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.errors import AdapterLoadError


class AdapterFollower:
    """The served adapter, kept up to date before every request. Thread-safe."""

    def __init__(self, registry: AdapterRegistry, engine: Engine) -> None:
        self._registry = registry
        self._engine = engine
        self._lock = threading.Lock()
        self._served: AdapterVersion | None = None
        self._refused: AdapterVersion | None = None
        self._problem: str | None = None

    def identity(self) -> str | None:
        """Return the value for `GenerationRequest.adapter`; None is the base model alone.

        Costs one stat of a file while nothing changes. A new adapter is hashed and loaded first, which waits for the
        requests in the engine's queue: an asynchronous caller runs this in a thread.
        """
        with self._lock:
            try:
                self._follow(self._registry.current())
            except AdapterError as error:
                self._refused, self._problem = None, str(error)
            return None if self._served is None else self._served.identity

    def served(self) -> AdapterVersion | None:
        """Return the version of the last `identity`; None for the base model."""
        return self._served

    def problem(self) -> str | None:
        """Return why the current adapter is not served, or None.

        The reason is one sentence.
        """
        return self._problem

    def _follow(self, wanted: AdapterVersion | None) -> None:
        if wanted is not None and wanted == self._refused:
            return
        if wanted is not None and wanted != self._served:
            try:
                self._engine.load_adapter(wanted.path, wanted.identity)
            except AdapterLoadError as error:
                self._refused, self._problem = wanted, str(error)
                return
        self._served, self._refused, self._problem = wanted, None, None
