"""The service behind the protocol: model, adapter and sandbox.

Preparation takes seconds (minutes on a first run), so it runs once, in a thread, with progress. Until it is done, and
after it failed, a request returns nothing and `status` holds the reason. Nothing here depends on the protocol.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError
from sandbox.pool import Sandbox
from ucoder_lsp.adapters.follower import AdapterFollower
from ucoder_lsp.adapters.manifest import AdapterVersion
from ucoder_lsp.adapters.registry import AdapterRegistry
from ucoder_lsp.completion.explain import Explanation
from ucoder_lsp.completion.flow import Completer
from ucoder_lsp.config import Settings
from ucoder_lsp.engine.engine import Engine
from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.gguf import Progress
from ucoder_lsp.models.prepare import prepare_model
from ucoder_lsp.models.served import ModelHere, served_models

log = logging.getLogger(__name__)
Notify = Callable[["ServerStatus"], None]
WARM_UP = 'def add(a: int, b: int) -> int:\n    """Return the sum."""\n    '
"""A first request, made at start. The user's first one then does not wait for imports and allocations."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The status that an editor shows in its status bar."""

    state: str
    """`preparing`, `ready` or `error`."""
    message: str
    """One sentence; with the remedy when the state is `error`."""
    model: str = ""
    adapter: str | None = None
    sandbox_tier: int | None = None
    """Isolation tier of executions; None where nothing is executed."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON, in the protocol's camelCase."""
        values = asdict(self)
        values["sandboxTier"] = values.pop("sandbox_tier")
        return values


class Service:
    """One model and one sandbox, used from one event loop.

    `close` frees both.
    """

    def __init__(self, settings: Settings, notify: Notify, root: Path | None = None) -> None:
        """Hold the settings; `root` is the base of a relative `python` setting."""
        self.settings = settings
        self._root = root or Path()
        self.status = ServerStatus("preparing", "Preparing the model.")
        self.last: Explanation | None = None
        """The explanation of the last completion that was offered."""
        self.latest: Explanation | None = None
        """The explanation of the last request, also when nothing was offered."""
        self._notify = notify
        self._completer: Completer | None = None
        self._engine: Engine | None = None
        self._sandbox: Sandbox | None = None
        self._follower: AdapterFollower | None = None
        self._followed: tuple[AdapterVersion | None, str | None] = (None, None)
        """The adapter and the problem that `status` reports."""
        self._choice = ""
        """Which model is served and why, where that was decided here."""
        self._warning: str | None = None
        """A message to the user from the preparation of the model."""
        self._ready = asyncio.Event()

    async def prepare(self) -> None:
        """Load everything; afterwards `status` is ready or error.

        Only a defect of UCoder raises.
        """
        try:
            await self._prepare()
        except (ModelError, EngineError) as error:
            self._set(ServerStatus("error", str(error)))
        except Exception as error:
            self._set(
                ServerStatus("error", f"UCoder could not start ({error!r}): please report this with its log.")
            )
            raise
        finally:
            self._ready.set()

    async def _prepare(self) -> None:
        loop = asyncio.get_running_loop()

        def progress(message: str, fraction: float) -> None:
            loop.call_soon_threadsafe(self._announce, ServerStatus("preparing", f"{message}: {fraction:.0%}"))

        self._engine = engine = await asyncio.to_thread(self._load_engine, progress)
        why_no_sandbox = await self._start_sandbox()
        self._completer = Completer(engine, self._sandbox, self.settings, why_no_sandbox=why_no_sandbox)
        await self._completer.complete(WARM_UP, WARM_UP.count("\n"), 4)
        tier = self._sandbox.tier if self._sandbox is not None else None
        message = "Ready." if not why_no_sandbox else f"Ready, ranking without execution: {why_no_sandbox}"
        message = " ".join(filter(None, [message, self._choice, self._warning]))
        self._set(ServerStatus("ready", message, model=engine.model_name, sandbox_tier=tier))
        await self._follow_adapter(self._completer)

    async def complete(self, text: str, line: int, column: int) -> Explanation | None:
        """Return the explained completion, or None without a prepared model.

        Waits for the preparation, at most until a request's deadline; `status` then holds the reason for None. Raises
        `CursorError`.
        """
        try:
            await asyncio.wait_for(self._ready.wait(), self.settings.deadline_ms / 1000)
        except TimeoutError:
            return None
        if self._completer is None:
            return None
        await self._follow_adapter(self._completer)
        explanation = await self._completer.complete(text, line, column)
        self.latest = explanation
        if explanation.text:
            self.last = explanation
        return explanation

    def use_settings(self, settings: Settings) -> list[str]:
        """Use new settings for the next requests.

        Returns the names of the changed ones that need a restart.
        """
        fixed = ("model", "threads", "cache_dir", "data_dir", "python", "execution")
        restart = [name for name in fixed if getattr(settings, name) != getattr(self.settings, name)]
        kept = {name: getattr(self.settings, name) for name in fixed}
        self.settings = replace(settings, **kept)
        if self._completer is not None:
            self._completer.settings = self.settings
        return restart

    async def close(self) -> None:
        """Free the model and stop the sandbox."""
        if self._sandbox is not None:
            await asyncio.to_thread(self._sandbox.close)
        if self._engine is not None:
            await asyncio.to_thread(self._engine.close)

    async def _follow_adapter(self, completer: Completer) -> None:
        """Switch to the adapter that is served now.

        Requests already in the engine keep the one they named.
        """
        assert self._follower is not None
        await asyncio.to_thread(self._follower.identity)
        # Read here, in the event loop: of two requests in the thread, the slower one may hold an outdated result.
        served, problem = self._follower.served(), self._follower.problem()
        identity = None if served is None else served.identity
        if identity != completer.adapter:
            completer.use_adapter(identity)
        if (served, problem) != self._followed:
            self._followed = (served, problem)
            version = None if served is None else served.version
            message = problem or f"Serving {version or 'the base model'}."
            self._set(replace(self.status, adapter=version, message=message))

    def _load_engine(self, progress: Progress) -> Engine:
        """Load the model of the setting; under `auto` the next one if it cannot be loaded."""
        served = served_models(self.settings, progress=progress)
        failures: list[str] = []
        for model in served.models:
            try:
                engine = self._load(model, progress)
            except (ModelError, EngineError) as error:
                if len(served.models) == 1:
                    raise
                failures.append(f"{model.name} could not be loaded: {error}")
            else:
                instead = [*failures, f"{model.name} is served instead."]
                self._choice = " ".join(instead) if failures else served.reason
                return engine
        raise ModelError(" ".join(failures) or served.reason)

    def _load(self, model: ModelHere, progress: Progress) -> Engine:
        settings = self.settings
        prepared = prepare_model(
            model.path, settings.cache_dir, quantization=model.kind(settings), progress=progress
        )
        progress("Loading the model", 0.0)
        longest = settings.context_tokens + settings.max_tokens + 8
        engine = Engine.load(
            prepared.path,
            n_ctx=longest,
            k_max=settings.candidates,
            # All candidates of the longest prompt are decoded together, beside another prompt in the cache.
            n_cells=longest + (settings.candidates + 1) * settings.max_tokens,
            n_threads=settings.threads or None,
            model_id=prepared.model_id,
            extra_buffers=prepared.extra_buffers,
        )
        self._warning = prepared.warning
        registry = AdapterRegistry(settings.data_dir / "adapters", prepared.source_sha256)
        self._follower = AdapterFollower(registry, engine)
        return engine

    async def _start_sandbox(self) -> str:
        """Start the sandbox if execution is on.

        Returns the reason why it did not start, or an empty text.
        """
        if not self.settings.execution:
            return "execution is turned off (setting 'execution')."
        try:
            self._sandbox = await asyncio.to_thread(self._open_sandbox)
        except SandboxError as error:
            return str(error)
        return ""

    def _open_sandbox(self) -> Sandbox:
        python = self.settings.python
        if "/" in python:  # a path, not a command on PATH
            python = str(self._root / Path(python).expanduser())
        return Sandbox(interpreter=python or None)

    def _announce(self, status: ServerStatus) -> None:
        """Publish progress, each text once."""
        if status != self.status:
            self._set(status)

    def _set(self, status: ServerStatus) -> None:
        log.info("%s: %s", status.state, status.message)
        self.status = status
        self._notify(status)
