"""The flow of one completion, from the cursor to the ghost text.

    context -> prompt -> K samples -> insertable texts -> election -> explanation

It is independent of the protocol, which the server translates.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

from sandbox.consensus.election import Election, elect_async, without_running
from sandbox.errors import SandboxError
from sandbox.pool import Sandbox
from ucoder_lsp.completion import filters
from ucoder_lsp.completion.cache import CompletionCache
from ucoder_lsp.completion.context import CompletionContext, Shape, context_at
from ucoder_lsp.completion.early_stop import Majority
from ucoder_lsp.completion.explain import Explanation, Timings, explain
from ucoder_lsp.completion.forms import Question, family_of
from ucoder_lsp.completion.insertable import DroppedSample, Insertable, insertable_texts
from ucoder_lsp.completion.probing import REQUEST_LIMITS, REQUEST_RULE, RequestInputs
from ucoder_lsp.completion.prompt import AssembledPrompt, assemble
from ucoder_lsp.completion.stops import stopper
from ucoder_lsp.config import Settings
from ucoder_lsp.engine import chat
from ucoder_lsp.engine.engine import Engine, Ticket
from ucoder_lsp.engine.types import Candidate, Finish, Generation, GenerationRequest, Sampling

LINE_TOKENS = 48
"""The most new tokens when one line is completed."""
WHOLE = (Finish.EOS, Finish.STOP)
"""The ways in which a complete candidate ends."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidates of one request, and what the election made of them."""

    generation: Generation
    insertable: Insertable
    dropped: tuple[DroppedSample, ...]
    inputs: RequestInputs | None
    election: Election

    @property
    def text(self) -> str:
        """The text that the election chose; empty for nothing."""
        chosen = self.election.chosen
        return "" if chosen is None else self.insertable.texts[self.insertable.drawn[chosen][0]].text


class Completer:
    """Completes with one engine and, where execution is allowed, one sandbox.

    Belongs to one event loop.
    """

    def __init__(
        self, engine: Engine, sandbox: Sandbox | None, settings: Settings, *, why_no_sandbox: str = ""
    ) -> None:
        self.engine = engine
        self.sandbox = sandbox
        self.settings = settings
        self.adapter: str | None = None
        """Identity of the adapter that the next request is computed with."""
        self._why_no_sandbox = why_no_sandbox or "execution is turned off"
        self._family = family_of(engine.model_name)
        self._chat = chat.turn_renderer(engine.chat_template, engine.vocab)
        self._cache = CompletionCache()

    async def complete(self, text: str, line: int, column: int) -> Explanation:
        """Complete at 0-based `line` and `column` (characters) of `text`, and explain it.

        An explanation with an empty text offers nothing and holds the reason. Raises `CursorError` for
        a cursor outside the document. Cancelling the task stops the engine between two decodes.
        """
        started = time.perf_counter()
        context = context_at(text, line, column)
        identity = (self.engine.model_id, self.adapter or "", repr(self.settings))
        if (known := self._cache.get(identity, context.prefix, context.suffix)) is not None:
            total_ms = (time.perf_counter() - started) * 1000
            return replace(known, line=line, character=column, timings=Timings(total_ms=total_ms))

        choice = await self.choose(context)
        explanation = explain(context, choice.generation, choice.insertable, choice.dropped, choice.election)
        explanation = replace(
            explanation,
            line=line,
            character=column,
            model=self.engine.model_name,
            timings=_timings(choice, time.perf_counter() - started),
        )
        self._cache.put(identity, context.prefix, context.suffix, explanation)
        return explanation

    async def choose(self, context: CompletionContext) -> Choice:
        """Sample candidates for a cursor, and elect one."""
        # 1. Sample, and make the probe inputs meanwhile.
        inputs = RequestInputs(context, self.settings.probes) if self.sandbox is not None else None
        prompt = self._prompt(context)
        generation = await self._sample(context, prompt, inputs)

        # 2. Keep what may be inserted here, equal texts once.
        insertable, dropped = insertable_texts(generation.candidates, context, prompt)

        # 3. Run and compare.
        election = await self._elect(context, insertable, inputs)
        return Choice(generation, insertable, tuple(dropped), inputs, election)

    def use_adapter(self, identity: str | None) -> None:
        """Compute the next requests with this adapter; None is the base model.

        The engine must have loaded it.
        """
        self.adapter = identity

    def ask(self, question: Question) -> None:
        """Ask this question in every shape, instead of those of the model's family; for comparisons."""
        self._family = replace(self._family, questions=dict.fromkeys(Shape, (question,)))

    def _max_tokens(self, context: CompletionContext) -> int:
        longest = min(self.settings.max_tokens, self.engine.n_ctx // 2)
        return min(longest, LINE_TOKENS) if context.shape is Shape.LINE else longest

    def _prompt(self, context: CompletionContext) -> AssembledPrompt:
        engine = self.engine
        return assemble(
            context,
            engine.tokenize,
            questions=self._family.questions[context.shape],
            fim=engine.vocab.fim,
            chat=self._chat,
            budget=min(self.settings.context_tokens, engine.n_ctx - self._max_tokens(context) - 1),
        )

    async def _sample(
        self, context: CompletionContext, prompt: AssembledPrompt, inputs: RequestInputs | None
    ) -> Generation:
        settings = self.settings
        k = 1 if settings.temperature == 0 else settings.candidates
        majority = Majority(k, lambda text: filters.insertion(text, context, prompt))
        ticket: Ticket | None = None

        def ended(_: int, candidate: Candidate) -> None:
            decided = candidate.finish in WHOLE and majority.add(candidate.text)
            if decided and ticket is not None and inputs is not None and inputs.may_stop_early:
                ticket.cancel()

        request = GenerationRequest(
            prompt=prompt.tokens,
            k=k,
            max_tokens=self._max_tokens(context),
            sampling=Sampling(temperature=settings.temperature),
            stop_when=stopper(context, prompt),
            deadline_s=settings.deadline_ms / 1000,
            adapter=self.adapter,
            on_candidate=ended,
        )
        ticket = self.engine.submit(request)
        try:
            if inputs is not None:
                await asyncio.to_thread(inputs.make)
            return await asyncio.wrap_future(ticket.future)
        except asyncio.CancelledError:
            ticket.cancel()
            raise

    async def _elect(
        self, context: CompletionContext, insertable: Insertable, inputs: RequestInputs | None
    ) -> Election:
        """Hold the election among the samples.

        It abstains with a reason where nothing can be run, or where running proves nothing.
        """
        ballots = insertable.ballots()
        if not ballots:
            return without_running(ballots, "no candidate fits here and parses")
        if context.prose:
            return without_running(ballots, "text in a comment or a docstring changes no behaviour")
        if not insertable.finished:
            return without_running(ballots, "no candidate was finished within the limits of tokens and time")
        if self.sandbox is None or inputs is None:
            return without_running(ballots, self._why_no_sandbox)
        if inputs.probe_set is None:
            return without_running(ballots, "the cursor is not in a function that can be called on its own")
        try:
            return await elect_async(
                ballots, inputs.probe_set, sandbox=self.sandbox, rule=REQUEST_RULE, limits=REQUEST_LIMITS
            )
        except SandboxError as error:
            return without_running(ballots, f"nothing could be run: {error}")


def _timings(choice: Choice, total_s: float) -> Timings:
    generation, inputs, election = choice.generation, choice.inputs, choice.election
    return Timings(
        queue_ms=generation.queue_s * 1000,
        prefill_ms=generation.prefill_s * 1000,
        decode_ms=generation.decode_s * 1000,
        inputs_ms=0.0 if inputs is None else inputs.wall_s * 1000,
        execution_ms=election.execution_s * 1000,
        consensus_ms=election.decision_s * 1000,
        total_ms=total_s * 1000,
    )
