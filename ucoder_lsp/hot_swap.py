"""Following the registry: which adapter the next request should name, loaded into the engine when it is new.

A publication must never cost a request: when the new adapter cannot be used, the last good one stays in service and
the reason is kept for the user, once for each change.
"""

from __future__ import annotations

import threading

from ucoder_lsp.adapters import AdapterError, AdapterRegistry, AdapterVersion
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.errors import AdapterLoadError


class AdapterFollower:
    """What a server asks before every request. Safe from any thread."""

    def __init__(self, registry: AdapterRegistry, engine: Engine) -> None:
        self._registry = registry
        self._engine = engine
        self._lock = threading.Lock()
        self._served: AdapterVersion | None = None
        self._refused: AdapterVersion | None = None
        self._problem: str | None = None

    def identity(self) -> str | None:
        """For `GenerationRequest.adapter` (None: the base model alone).

        One stat of a file where nothing has changed. A new adapter is hashed and loaded first, which waits for the
        requests in the engine's queue: an asynchronous caller puts this into a thread.
        """
        with self._lock:
            try:
                wanted = self._registry.current()
                if wanted != self._served and (wanted is None or wanted != self._refused):
                    self._take(wanted)
            except AdapterError as error:
                self._problem = str(error)
            return None if self._served is None else self._served.identity

    def served(self) -> AdapterVersion | None:
        """The version that `identity` named last, None for the base model."""
        return self._served

    def take_problem(self) -> str | None:
        """Why the registry's current adapter is not served, one sentence, told once; None when all is well."""
        with self._lock:
            problem, self._problem = self._problem, None
            return problem

    def _take(self, wanted: AdapterVersion | None) -> None:
        if wanted is not None:
            try:
                self._engine.load_adapter(wanted.path, wanted.identity)
            except AdapterLoadError as error:
                self._refused = wanted
                self._problem = str(error)
                return
        self._served, self._refused = wanted, None
