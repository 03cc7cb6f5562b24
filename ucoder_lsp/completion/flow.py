"""One completion request, from the cursor to the ghost text and its reason.

    context -> prompt -> K samples -> text filters -> behaviour -> consensus -> text

Protocol-free: the server translates, the demo and the tests call this directly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sandbox.consensus.rules import DEFAULT_RULE, RULES
from sandbox.consensus.types import Rule
from sandbox.inputs import ProbeSet, propose
from sandbox.outcome import JobResult, Outcome
from sandbox.pool import Sandbox
from sandbox.program import probe_text
from ucoder_lsp.completion import filters, prompt
from ucoder_lsp.completion.cache import CompletionCache
from ucoder_lsp.completion.context import CompletionContext, Shape, context_at
from ucoder_lsp.completion.document_slice import Runnable, Tier, parses_without_cursor_line, prepare, stub
from ucoder_lsp.completion.early_stop import Majority
from ucoder_lsp.completion.explain import CandidateReport, ClusterReport, Explanation, Timings
from ucoder_lsp.completion.judge import Judgement, abstain, judge
from ucoder_lsp.config import Settings
from ucoder_lsp.engine import chat
from ucoder_lsp.engine.engine import Engine, Ticket
from ucoder_lsp.engine.types import Candidate, Finish, Generation, GenerationRequest, Sampling

LINE_TOKENS = 48
"""New tokens at most when one line is completed."""
LOW_CONFIDENCE_LINES = 12
"""Without consensus a longer block than this is cut: nobody reads an unverified page of ghost text."""
MAX_SHOWN_CHARS = 120
UNFINISHED = "unfinished when most had written the same"
"""Why a candidate is dropped that was stopped: nobody knows what it would have become."""
WHOLE = (Finish.EOS, Finish.STOP)
"""How a candidate ends that wrote all it had to write."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One sample that may be inserted."""

    text: str
    runnable: Runnable
    mean_logprob: float


class Completer:
    """Completes with one engine and, where execution is allowed, one sandbox. Belongs to one event loop."""

    def __init__(
        self, engine: Engine, sandbox: Sandbox | None, settings: Settings, *, why_no_sandbox: str = ""
    ) -> None:
        self.engine = engine
        self.sandbox = sandbox
        self.settings = settings
        self.adapter: str | None = None
        """Identity of the adapter that the next request is computed with."""
        self._why_no_sandbox = why_no_sandbox or "execution is turned off"
        self._rule: Rule = RULES[DEFAULT_RULE]
        self._chat = chat.turn_renderer(engine.chat_template, engine.vocab)
        self._cache = CompletionCache()

    async def complete(self, text: str, line: int, column: int) -> Explanation:
        """The completion at 0-based `line` and `column` (characters) of `text`, explained.

        An explanation with an empty text means that nothing is offered, and says why. Raises `CursorError` for
        a cursor outside the document. Cancelling the task stops the engine between two decodes.
        """
        started = time.perf_counter()
        context = context_at(text, line, column)
        identity = (self.engine.model_id, self.adapter or "", repr(self.settings))
        if (known := self._cache.get(identity, context.prefix, context.suffix)) is not None:
            total_ms = (time.perf_counter() - started) * 1000
            return replace(known, line=line, character=column, timings=Timings(total_ms=total_ms))

        # 1. Sample, and make the probe inputs meanwhile.
        inputs = _Inputs(context, self.settings.probes) if self.sandbox is not None else None
        generation = await self._sample(context, inputs)

        # 2. Keep what may be inserted here, one entry for each sample.
        entries, dropped = _insertable(generation.candidates, context)

        # 3. Run and compare.
        judgement = await self._judge(entries, inputs)

        # 4. Choose and explain.
        explanation = _explain(context, generation, entries, dropped, judgement)
        explanation = replace(
            explanation,
            line=line,
            character=column,
            model=self.engine.model_name,
            timings=_timings(generation, inputs, judgement, time.perf_counter() - started),
        )
        self._cache.put(identity, context.prefix, context.suffix, explanation)
        return explanation

    def use_adapter(self, identity: str | None) -> None:
        """Compute the next requests with this adapter (loaded in the engine already), or with the base model."""
        self.adapter = identity

    async def _sample(self, context: CompletionContext, inputs: _Inputs | None) -> Generation:
        settings = self.settings
        max_tokens = min(settings.max_tokens, self.engine.n_ctx // 2)
        if context.shape is Shape.LINE:
            max_tokens = min(max_tokens, LINE_TOKENS)
        budget = min(settings.context_tokens, self.engine.n_ctx - max_tokens - 1)
        tokens = prompt.assemble(
            context, self.engine.tokenize, fim=self.engine.vocab.fim, chat=self._chat, budget=budget
        )
        if not tokens:  # an empty document: the model needs something to start from
            tokens = self.engine.tokenize("\n")
        k = 1 if settings.temperature == 0 else settings.candidates
        majority = Majority(k, lambda text: filters.insertion(text, context))
        ticket: Ticket | None = None

        def ended(_: int, candidate: Candidate) -> None:
            decided = candidate.finish in WHOLE and majority.add(candidate.text)
            if decided and ticket is not None and inputs is not None and inputs.may_stop_early:
                ticket.cancel()

        request = GenerationRequest(
            prompt=tokens,
            k=k,
            max_tokens=max_tokens,
            sampling=Sampling(temperature=settings.temperature),
            stop_when=filters.stopper(context),
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

    async def _judge(self, entries: Sequence[_Entry], inputs: _Inputs | None) -> Judgement:
        if not entries:
            return abstain("no candidate fits here and parses")
        if self.sandbox is None or inputs is None:
            return abstain(self._why_no_sandbox)
        return await judge(
            [entry.runnable for entry in entries],
            [entry.mean_logprob for entry in entries],
            inputs=inputs.probe_set,
            sandbox=self.sandbox,
            rule=self._rule,
        )


class _Inputs:
    """The probe inputs of one request, made while the model decodes."""

    def __init__(self, context: CompletionContext, n_probes: int) -> None:
        self._context = context
        self._n_probes = n_probes
        self.probe_set: ProbeSet | None = None
        """None until they are made, and where there is no function to call."""
        self.wall_s = 0.0

    @property
    def may_stop_early(self) -> bool:
        """Whether to stop at a majority of equal texts: examples in the docstring could overrule it."""
        return self.probe_set is not None and not self.probe_set.constraints

    def make(self) -> None:
        """Make them: some milliseconds of computing, for a thread."""
        started = time.perf_counter()
        source = stub(self._context)
        if source and self._context.function is not None:
            self.probe_set = propose(source, self._context.function, budget=self._n_probes)
        self.wall_s = time.perf_counter() - started


def _insertable(
    candidates: Sequence[Candidate], context: CompletionContext
) -> tuple[list[_Entry], list[CandidateReport]]:
    """Samples whose text may be inserted here, and a report on each of the others."""
    entries: list[_Entry] = []
    dropped: list[CandidateReport] = []
    prepared: dict[str, Runnable] = {}
    must_parse = parses_without_cursor_line(context)

    def drop(candidate: Candidate, why: str) -> None:
        dropped.append(CandidateReport(candidate.text, 1, candidate.mean_logprob, f"dropped: {why}"))

    for candidate in candidates:
        if candidate.finish is Finish.CANCELLED:
            drop(candidate, UNFINISHED)
            continue
        text = filters.insertion(candidate.text, context)
        if text is None:
            drop(candidate, "does not fit here")
            continue
        if text not in prepared:
            prepared[text] = prepare(text, context)
        if must_parse and prepared[text].tier is Tier.BROKEN:
            drop(candidate, Tier.BROKEN.value)
        else:
            entries.append(_Entry(text, prepared[text], candidate.mean_logprob))
    return entries, dropped


def _explain(
    context: CompletionContext,
    generation: Generation,
    entries: Sequence[_Entry],
    dropped: Sequence[CandidateReport],
    judgement: Judgement,
) -> Explanation:
    """Put samples, behaviour and decision together; distinct texts are listed once, with their count."""
    decision = judgement.decision
    tiers = [_tier(entry, judgement, index) for index, entry in enumerate(entries)]
    texts = list(dict.fromkeys(entry.text for entry in entries))
    position = {text: index for index, text in enumerate(texts)}
    cluster_of = {m: number for number, cluster in enumerate(decision.clusters) for m in cluster.members}

    if decision.winner is not None:
        chosen, decided_by, reason = decision.winner, "consensus", decision.reason
    elif entries:
        chosen, decided_by = _most_fluent(entries, tiers), "fluency"
        reason = (
            f"Consensus abstained: {decision.reason.rstrip('.')}. Chosen instead: the most fluent candidate "
            f"of those that came furthest ({tiers[chosen].value})."
        )
    else:
        chosen, decided_by = None, "nothing"
        reason = "Nothing is offered: " + (decision.reason.rstrip(".") + ".")

    first = {text: next(i for i, e in enumerate(entries) if e.text == text) for text in texts}
    reports = [
        CandidateReport(
            text,
            sum(entry.text == text for entry in entries),
            entries[first[text]].mean_logprob,
            tiers[first[text]].value,
            cluster_of.get(first[text]),
        )
        for text in texts
    ]
    winner = None if chosen is None else position[entries[chosen].text]
    return Explanation(
        line=0,
        character=0,
        shape=context.shape.value,
        function=context.function,
        text="" if chosen is None else _shown(entries[chosen].text, decided_by),
        decided_by=decided_by,
        reason=reason,
        confidence=decision.confidence,
        tier="" if chosen is None else tiers[chosen].value,
        model="",
        adapter=generation.adapter,
        candidates=(*reports, *dropped),
        probes=tuple(_short(probe_text(probe)) for probe in judgement.probes),
        clusters=tuple(
            ClusterReport(
                members=tuple(dict.fromkeys(position[entries[m].text] for m in cluster.members)),
                share=cluster.share,
                behaviour=_behaviour(judgement.results[cluster.members[0]]),
            )
            for cluster in decision.clusters
        ),
        winner=winner,
        sandbox_tier=next((result.tier for result in judgement.results if result is not None), None),
        prompt_tokens=generation.n_prompt_tokens,
        cached_tokens=generation.n_cached_tokens,
    )


def _tier(entry: _Entry, judgement: Judgement, index: int) -> Tier:
    """How far a sample came, static checks and behaviour together."""
    decision = judgement.decision
    if decision.clusters and index in decision.clusters[0].members and decision.winner is not None:
        return Tier.AGREES
    result = judgement.results[index] if judgement.results else None
    if result is not None and any(not outcome.crashed for outcome in result.outcomes):
        return max(Tier.RUNS, entry.runnable.tier, key=lambda tier: tier.rank)
    return entry.runnable.tier


def _most_fluent(entries: Sequence[_Entry], tiers: Sequence[Tier]) -> int:
    """Index of the best sample without consensus: the tier first, then how often it was drawn, then fluency."""
    counts = {entry.text: sum(other.text == entry.text for other in entries) for entry in entries}
    return max(
        range(len(entries)),
        key=lambda i: (tiers[i].rank, counts[entries[i].text], entries[i].mean_logprob),
    )


def _shown(text: str, decided_by: str) -> str:
    """The ghost text: what consensus did not verify is kept short."""
    if decided_by == "consensus":
        return text
    return "\n".join(text.split("\n")[: LOW_CONFIDENCE_LINES + 1])


def _behaviour(result: JobResult | None) -> tuple[str, ...]:
    return () if result is None else tuple(_short(describe_outcome(outcome)) for outcome in result.outcomes)


def describe_outcome(outcome: Outcome) -> str:
    """One outcome as a person would write it: the value, or how the program failed."""
    if outcome.value is not None:
        return outcome.value.text()
    return outcome.exception or outcome.status.value


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"


def _timings(generation: Generation, inputs: _Inputs | None, judgement: Judgement, total_s: float) -> Timings:
    return Timings(
        queue_ms=generation.queue_s * 1000,
        prefill_ms=generation.prefill_s * 1000,
        decode_ms=generation.decode_s * 1000,
        inputs_ms=0.0 if inputs is None else inputs.wall_s * 1000,
        execution_ms=judgement.execution_s * 1000,
        consensus_ms=judgement.consensus_s * 1000,
        total_ms=total_s * 1000,
    )
