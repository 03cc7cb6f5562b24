"""`ucoder train run`, without the terminal: from a base model to a published adapter.

    1  the base in both its forms: the file that is served, the folder that is trained
    2  six stages: problems, ratings, skeletons, tests, solutions, selection         (`loop`)
    3  a data set: consensus, or the control arm's random samples of the same number (`dataset`)
    4  what the base itself answers: what is confirmed is learned, the rest rehearsed (`confirmation`)
    5  LoRA fine-tuning from the base                                                (`finetune`)
    6  export to GGUF; with further rounds, back to the solutions with this adapter  (`export`)
    7  the gate on held-out self-made problems                                       (`acceptance`)
    8  publication to the adapter registry, which running servers watch

Killed anywhere, the same call goes on from the shards and ends with the same data set.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sandbox.pool import Sandbox
from trainer.adapter_gate import Verdict
from trainer.data import dataset
from trainer.data.dataset import OwnAnswers
from trainer.errors import TrainerError
from trainer.models.base import Base, file_hash, prepare_base
from trainer.models.export import export_adapter
from trainer.pipeline import Loop
from trainer.profile import Profile
from trainer.progress import Teller
from trainer.report import write_report
from trainer.run.folder import RunFolder
from trainer.sampling.engines import has_gpu, open_engines, open_on_gpu
from trainer.sampling.sampler import Sampler
from trainer.stages.problems import Problem
from trainer.stages.selection import Selected
from trainer.tuning.finetune import Tuned, Tuning, finetune
from ucoder_lsp.adapters.errors import AdapterError
from ucoder_lsp.adapters.registry import AdapterRegistry
from ucoder_lsp.config import EMBEDDED, Settings
from ucoder_lsp.models.prepare import EMBEDDED_SHA256, PreparedModel, prepare_model

CONTEXT_TOKENS = 2048
"""The longest prompt of the stages has about 700 tokens."""
Arm = Literal["consensus", "random"]
Picked = tuple[Problem, Sequence[str], Sequence[str]]
"""A problem, programs that answer it, and asserts that they fulfil."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is asked to do."""

    profile: Profile
    arm: Arm = "consensus"
    four_bit: bool = False
    excluded: frozenset[str] = frozenset()
    """Word runs that no problem may hold (`problems.word_shingles`)."""
    another: bool = False
    """A finished run goes on with another night: as many tasks again, and an adapter of all that was learned."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended."""

    version: str | None
    """The published adapter, None when the gate refused it."""
    served: bool
    """Whether servers use it from now on."""
    verdict: Verdict
    nights: int
    """How many nights' problems it was trained on."""
    programs: int
    """Selected by consensus, or drawn for the control arm."""
    examples: int
    """Made of these programs."""
    learned: int
    """The base's own answers whose tokens are learned too."""
    rehearsed: int
    """Own answers that are rehearsed."""
    dataset_sha256: str
    """Of ARM/dataset.jsonl."""
    own_answers_sha256: str | None
    """Of ARM/own-answers.jsonl, None where the profile asks for none."""
    report: Path


@dataclass(frozen=True, slots=True)
class Model:
    """The base as the loop uses it."""

    prepared: PreparedModel
    base: Base
    name: str

    @property
    def setting(self) -> str:
        """What the setting `model` has to be for servers to serve this base."""
        embedded = self.prepared.source_sha256 == EMBEDDED_SHA256
        return EMBEDDED if embedded else str(self.prepared.source.resolve())

    def is_configured(self, settings: Settings) -> bool:
        """Whether servers serve this base: the setting `model` names this content, under whatever path."""
        if settings.model == EMBEDDED:
            return self.setting == EMBEDDED
        configured = Path(settings.model).expanduser()
        return configured.is_file() and file_hash(configured) == self.prepared.source_sha256


def prepare(base: str, settings: Settings, teller: Teller, served: Path | None = None) -> Model:
    """The base model `embedded`, a GGUF file or a Hugging Face folder, ready to be sampled and trained.

    `served` is a GGUF of the same model that is sampled and served instead of what is made here of the base.
    Raises `TrainerError` or `ModelError` before anything is sampled.
    """
    cache = settings.cache_dir / "bases"
    teller.say("Preparing the base model (once)")
    if base == EMBEDDED:
        if served is not None:
            raise TrainerError("--served belongs to a base of your own: name it with --base.")
        prepared = prepare_model(None, settings.cache_dir)
        return Model(prepared, prepare_base(prepared.source, cache, served=prepared.path), EMBEDDED)
    path = Path(base).expanduser()
    both = prepare_base(path, cache, served)
    return Model(prepare_model(both.gguf, settings.cache_dir), both, path.name)


def train(run: RunFolder, model: Model, options: Options, settings: Settings, teller: Teller) -> Result:
    """Run, or go on with, one training run."""
    nights = run.open(
        options.profile,
        model.name,
        model.prepared.model_id,
        options.excluded,
        four_bit=options.four_bit,
        another=options.another,
    )
    run.clean()
    arm = run.arm(options.arm)
    budget = Budget()
    if options.arm == "random":
        budget = budget_of_consensus(run, nights)  # refuses now, not after an hour of sampling

    # Stages 1 to 6 with the base, and a first adapter.
    with _sampler(model, settings) as sampler, Sandbox(lowest_tier=1) as sandbox:
        loop = Loop(options.profile, sampler, run.store, sandbox, teller, options.excluded, nights)
        selected, pool = loop.probe()
        chosen, held = dataset.split(selected, options.profile.held_out)
        if options.arm == "random":
            picked = unselected(budget.programs, pool, held, options.profile.seed)
        else:
            picked = [(s.problem, s.sources, s.asserts) for s in chosen]
        rows = loop.examples(picked)
        own = OwnAnswers()
        if options.profile.own_answers and rows:  # without rows there is no training to rehearse in
            own = loop.own_answers(held, selected=options.arm == "consensus")
        if options.arm == "random":
            own = own.drawn(budget.learned, budget.rehearsed, options.profile.seed)
    teller.say(f"{len(held)} problems are held out for the gate")
    tuned = _tune(run, model, rows, own, options, loop, teller)

    # Further rounds: its answers join the candidates, and the next adapter is trained anew.
    for number in range(2, options.profile.rounds + 1 if options.arm == "consensus" else 2):
        with _sampler(model, settings) as sampler, Sandbox(lowest_tier=1) as sandbox:
            loop.sampler, loop.sandbox = sampler, sandbox
            chosen = loop.probe_again(_adapted(sampler, tuned), held, number)
            picked = [(s.problem, s.sources, s.asserts) for s in chosen]
            rows = loop.examples(picked)
        tuned = _tune(run, model, rows, own, options, loop, teller)

    # The gate: both models as they are served.
    with _sampler(model, settings, as_served=True) as sampler, Sandbox(lowest_tier=1) as sandbox:
        loop.sampler, loop.sandbox = sampler, sandbox
        verdict = loop.gate(held, _adapted(sampler, tuned))
    teller.say(f"Gate: {verdict.reason}")

    # Publication. The control arm is a measurement: kept for `ucoder eval --adapter`, never served by itself.
    registry = AdapterRegistry(settings.data_dir / "adapters", model.prepared.source_sha256)
    version = None
    if verdict.accepted or options.arm == "random":
        metrics = _metrics(verdict, tuned.losses)
        version = publish(registry, model, run, options, nights, tuned, metrics)
    result = Result(
        version,
        version is not None and is_served(version, registry, model, settings),
        verdict,
        nights,
        sum(len(sources) for _, sources, _ in picked),
        len(rows),
        len(own.learned),
        len(own.rehearsed),
        dataset.sha256_of(dataset.to_jsonl([*rows, *own.learned])),
        dataset.sha256_of(dataset.to_jsonl(own.rehearsed)) if options.profile.own_answers else None,
        arm / "report.html",
    )
    run.write(f"{options.arm}/result.json", json.dumps(asdict(result), indent=1, default=str))
    write_report(arm, run, options.arm, loop.funnel, tuned.losses, result)
    return result


@contextmanager
def _sampler(model: Model, settings: Settings, *, as_served: bool = False) -> Iterator[Sampler]:
    """The base, on a GPU where there is one, or in the form that is served."""
    if has_gpu() and not as_served:
        opened = open_on_gpu(model.prepared, model.base.folder, n_ctx=CONTEXT_TOKENS)
    else:
        opened = open_engines(model.prepared, n_ctx=CONTEXT_TOKENS, k_max=16, threads=settings.threads)
    with opened as engines:
        yield Sampler(engines)


def _adapted(sampler: Sampler, tuned: Tuned) -> Sampler:
    """The same engines with the adapter, whose identity is that of the file that servers use."""
    key = file_hash(tuned.gguf)
    sampler.engines.load_adapter(tuned.gguf, key, tuned.folder)
    return Sampler(sampler.engines, key)


def unselected(n: int, pool: Sequence[dataset.Control], held: Sequence[Selected], seed: int) -> list[Picked]:
    """The control arm: as many programs as consensus chose in this run, n, drawn from all samples of the base."""
    judges = {item.problem.function for item in held}
    allowed = [control for control in pool if control.problem.function not in judges]
    drawn = dataset.unselected(allowed, n, seed)
    return [(control.problem, [control.source], control.asserts) for control in drawn]


@dataclass(frozen=True, slots=True)
class Budget:
    """How much the consensus arm was trained on."""

    programs: int = 0
    learned: int = 0
    rehearsed: int = 0
    """Of its own answers."""


def budget_of_consensus(run: RunFolder, nights: int) -> Budget:
    """What the control arm is to be as large as; `TrainerError` before consensus has learned from all nights."""
    finished = run.read("consensus/result.json") or {}
    if (
        "learned" not in finished or run.finished_nights("consensus") < nights
    ):  # an earlier version counted otherwise
        raise TrainerError(
            "The control arm takes as many programs as consensus chose: first let the same command without "
            "--select random come to its end."
        )
    return Budget(*(int(finished[name]) for name in ("programs", "learned", "rehearsed")))


def _tune(
    run: RunFolder,
    model: Model,
    rows: Sequence[dataset.Example],
    own: OwnAnswers,
    options: Options,
    loop: Loop,
    teller: Teller,
) -> Tuned:
    """Write the data set, fine-tune the base on it and export. No engine is open: this wants all cores and memory."""
    profile, arm = options.profile, run.arm(options.arm)
    learned = [*rows, *own.learned]
    run.write(f"{options.arm}/dataset.jsonl", dataset.to_jsonl(learned))
    if profile.own_answers:
        run.write(f"{options.arm}/own-answers.jsonl", dataset.to_jsonl(own.rehearsed))
    if not rows:
        write_report(arm, run, options.arm, loop.funnel, (), None)
        raise TrainerError(
            f"No problem reached a consensus, so there is nothing to train on: see {arm / 'report.html'}, and use "
            "a larger profile or a stronger base."
        )
    parts = [f"{len(rows)} examples"]
    if profile.own_answers:
        parts += [f"{len(own.learned)} of the base's own answers", f"{len(own.rehearsed)} more to rehearse"]
    teller.say(f"Data set: {', '.join(parts)}")
    tuning = Tuning(
        profile.rank, profile.epochs, profile.learning_rate, profile.batch, profile.seed, options.four_bit,
        profile.teacher_temperature,
    )  # fmt: skip
    steps = profile.epochs * -(-(len(learned) + len(own.rehearsed)) // profile.batch)
    with teller.stage("fine-tuning", steps, "steps") as step:
        tuned = finetune(
            model.base, learned, tuning, run.finetune, lambda done, _, loss: step(done, f"loss {loss:.3f}"),
            own.rehearsed,
        )  # fmt: skip
    if not tuned.gguf.is_file():
        export_adapter(tuned.folder, model.base.config, tuned.gguf)
    return tuned


def _metrics(verdict: Verdict, losses: Sequence[tuple[int, float]]) -> dict[str, float]:
    """What the registry keeps of how the adapter came to be."""
    return {
        "gate_base": verdict.base.value, "gate_adapter": verdict.adapter.value, "gate_problems": verdict.problems,
        "final_loss": losses[-1][1], "published_at": time.time(),
    }  # fmt: skip


def publish(
    registry: AdapterRegistry,
    model: Model,
    run: RunFolder,
    options: Options,
    nights: int,
    tuned: Tuned,
    metrics: Mapping[str, float],
) -> str:
    """Publish once: a run that was killed after publishing finds its own version again.

    What was published and then taken back stays so, however often the finished run is repeated.
    """
    activate = options.arm != "random"
    name = f"{run.path.name}/{options.arm}/{tuned.folder.name}"
    for version in registry.versions():
        if version.manifest.training_run == name:
            if activate and run.finished_nights(options.arm) < nights:
                registry.use(version.version)
            return version.version
    return registry.publish(
        tuned.gguf,
        base_name=model.name,
        training_run=name,
        metrics=metrics,
        peft=tuned.folder,
        activate=activate,
    ).version


def is_served(version: str, registry: AdapterRegistry, model: Model, settings: Settings) -> bool:
    """Whether servers use it from now on: it is the current adapter of the base that they serve."""
    try:
        current = registry.current()
    except AdapterError:
        return False  # another one was chosen and is damaged: no reason to lose what was trained
    return current is not None and current.version == version and model.is_configured(settings)
