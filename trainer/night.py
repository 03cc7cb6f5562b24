"""One night of training without the terminal (`ucoder train run`).

It leads from a base model to a published adapter.

    1  the base in both its forms: the file that is served, the folder that is trained
    2  the stages: from tasks to selected problems                                    (`pipeline`)
    3  a data set: consensus, or the control arm's random samples of the same number  (`data.dataset`)
    4  the base's own answers: confirmed ones are learned, others rehearsed           (`data.own_answers`)
    5  LoRA fine-tuning from the base                                                 (`tuning.finetune`)
    6  export to GGUF; with further rounds, back to the solutions with this adapter   (`models.export`)
    7  the acceptance on held-out self-made problems                                  (`adapter_gate`)
    8  publication to the adapter registry, which running servers watch

A run that was killed anywhere continues from its shards with the same call, and ends with the same data set.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sandbox.pool import Sandbox
from trainer import adapter_gate, pipeline
from trainer.data import dataset, own_answers
from trainer.data.dataset import OwnAnswers
from trainer.errors import TrainerError
from trainer.hardware import has_gpu
from trainer.models.base import Base, file_hash, prepare_base
from trainer.models.export import export_adapter
from trainer.pipeline import Picked
from trainer.profile import Profile
from trainer.progress import ProgressReporter
from trainer.report import write_report
from trainer.result import Acceptance, Result, finished_nights, read_result
from trainer.run.folder import RunFolder, RunRecord
from trainer.run.records import to_plain
from trainer.sampling.engines import open_engines, open_on_gpu
from trainer.sampling.sampler import Sampler
from trainer.stages.context import StageContext
from trainer.stages.funnel import Funnel
from trainer.stages.selection import Selected
from trainer.tuning.finetune import Tuned, Tuning, finetune
from ucoder_lsp.adapters.errors import AdapterError
from ucoder_lsp.adapters.registry import AdapterRegistry
from ucoder_lsp.config import EMBEDDED, Settings
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.prepare import EMBEDDED_SHA256, PreparedModel, prepare_model
from ucoder_lsp.models.served import model_path

CONTEXT_TOKENS = 2048
"""The longest prompt of the stages has about 700 tokens."""
Arm = Literal["consensus", "random"]


@dataclass(frozen=True, slots=True)
class Options:
    """The parameters of a run."""

    profile: Profile
    arm: Arm = "consensus"
    four_bit: bool = False
    excluded: frozenset[str] = frozenset()
    """Word runs that no problem may hold (`stages.decontamination.word_shingles`)."""
    another: bool = False
    """Add a night to a finished run: as many tasks again, and an adapter trained on all nights."""


@dataclass(frozen=True, slots=True)
class ServedBase:
    """The base model, ready to be served and trained."""

    prepared: PreparedModel
    base: Base
    name: str

    @property
    def setting(self) -> str:
        """The value of the setting `model` with which servers serve this base."""
        embedded = self.prepared.source_sha256 == EMBEDDED_SHA256
        return EMBEDDED if embedded else str(self.prepared.source.resolve())

    def is_configured(self, settings: Settings) -> bool:
        """Return True if servers serve this base.

        The setting `model` means this content, under whatever name.
        """
        try:
            configured = model_path(settings, measuring=False)
        except ModelError:
            return False
        if configured is None:
            return self.setting == EMBEDDED
        return file_hash(configured) == self.prepared.source_sha256


@dataclass(frozen=True, slots=True)
class Night:
    """One night of training: its run, base, options and progress."""

    run: RunFolder
    model: ServedBase
    options: Options
    settings: Settings
    reporter: ProgressReporter
    nights: int
    """Nights whose problems the adapter is trained on, this one included."""
    funnel: Funnel

    @property
    def profile(self) -> Profile:
        """The numbers."""
        return self.options.profile

    @contextmanager
    def stages(self, *, as_served: bool = False) -> Iterator[StageContext]:
        """Open the base and the sandbox.

        A GPU is used where there is one, unless `as_served`.
        """
        prepared = self.model.prepared
        if has_gpu() and not as_served:
            opened = open_on_gpu(prepared, self.model.base.folder, n_ctx=CONTEXT_TOKENS)
        else:
            opened = open_engines(prepared, n_ctx=CONTEXT_TOKENS, k_max=16, threads=self.settings.threads)
        with opened as engines, Sandbox(lowest_tier=1) as sandbox:
            yield StageContext(
                self.profile, Sampler(engines), self.run.store, sandbox, self.reporter,
                self.options.excluded, self.funnel,
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrainingData:
    """All that one adapter is trained on."""

    picked: Sequence[Picked]
    """Programs that consensus selected, or that were drawn for the control arm."""
    rows: Sequence[dataset.TrainingExample]
    """Made of the programs."""
    own: OwnAnswers

    @property
    def n_programs(self) -> int:
        """Number of the programs."""
        return sum(len(sources) for _, sources, _ in self.picked)

    @property
    def learned(self) -> list[dataset.TrainingExample]:
        """The rows of dataset.jsonl."""
        return [*self.rows, *self.own.learned]


def prepare(
    base: str, settings: Settings, reporter: ProgressReporter, served: Path | None = None
) -> ServedBase:
    """Prepare the base model for sampling and training.

    `base` is `embedded`, a GGUF file or a Hugging Face folder. `served` is a GGUF of the same model that is sampled
    and served instead of one converted here.

    Raises:
        TrainerError, ModelError: before anything is sampled.
    """
    cache = settings.cache_dir / "bases"
    reporter.message("Preparing the base model (once)")
    if base == EMBEDDED:
        if served is not None:
            raise TrainerError("--served needs a base model of your own: name it with --base.")
        prepared = prepare_model(None, settings.cache_dir)
        return ServedBase(prepared, prepare_base(prepared.source, cache, served=prepared.path), EMBEDDED)
    path = Path(base).expanduser()
    both = prepare_base(path, cache, served)
    return ServedBase(prepare_model(both.gguf, settings.cache_dir), both, path.name)


def train(
    run: RunFolder, model: ServedBase, options: Options, settings: Settings, reporter: ProgressReporter
) -> Result:
    """Start or continue one training run."""
    # 1. The run folder; the size of the control arm is checked now, not after an hour of sampling.
    profile, is_control = options.profile, options.arm == "random"
    about = RunRecord.of(
        profile, model.name, model.prepared.model_id, options.excluded, four_bit=options.four_bit
    )
    nights = run.open(about, another=options.another, finished=finished_nights(run, "consensus"))
    run.clean()
    run.arm(options.arm)
    budget = budget_of_consensus(run, nights) if is_control else Budget()
    night = Night(run, model, options, settings, reporter, nights, Funnel())

    # 2. All stages with the base, and a first adapter.
    with night.stages() as context:
        found = pipeline.first_round(context, nights)
        chosen, held = dataset.split(found.selected, profile.held_out)
        picked = of_consensus(chosen)
        if is_control:
            pool = dataset.control_pool(found.candidates, found.examined)
            picked = unselected(budget.programs, pool, held, profile.seed)
        rows = pipeline.examples(context, picked)
        own = OwnAnswers()
        if profile.own_answers and rows:  # without rows nothing is trained, and nothing needs rehearsal
            others = pipeline.without(held, found.candidates)
            own = own_answers.run(context, others, selected=not is_control)
        if is_control:
            own = own.drawn(budget.learned, budget.rehearsed, profile.seed)
    reporter.message(f"{len(held)} problems are held out for the acceptance")
    data = TrainingData(picked, rows, own)
    tuned = _tune(night, data)

    # 3. Further rounds: the adapter's answers join the candidates, and the next adapter is trained anew.
    for number in range(2, 2 if is_control else profile.rounds + 1):
        with night.stages() as context:
            found = pipeline.next_round(context, found, _adapted(context.sampler, tuned), held, number)
            picked = of_consensus(found.selected)
            data = TrainingData(picked, pipeline.examples(context, picked), own)
        tuned = _tune(night, data)

    # 4. The acceptance: both models as they are served.
    with night.stages(as_served=True) as context:
        acceptance = adapter_gate.evaluate(context, held, _adapted(context.sampler, tuned))
    reporter.message(f"Acceptance: {acceptance.reason}")

    # 5. Publication, and the record of it.
    return _finish(night, data, tuned, acceptance)


def of_consensus(selected: Sequence[Selected]) -> list[Picked]:
    """Pick the programs that consensus selected."""
    return [(item.problem, item.sources, item.asserts) for item in selected]


@dataclass(frozen=True, slots=True)
class Budget:
    """The size of the consensus arm's training data."""

    programs: int = 0
    learned: int = 0
    rehearsed: int = 0
    """Of its own answers."""


def budget_of_consensus(run: RunFolder, nights: int) -> Budget:
    """Return the size that the control arm gets.

    Raises:
        TrainerError: consensus has not learned from all nights yet.
    """
    finished = read_result(run, "consensus")
    if finished is None or finished.nights < nights:
        raise TrainerError(
            "The control arm takes as many programs as consensus chose: first let the same command without "
            "--select random come to its end."
        )
    return Budget(finished.programs, finished.learned, finished.rehearsed)


def unselected(n: int, pool: Sequence[dataset.Control], held: Sequence[Selected], seed: int) -> list[Picked]:
    """Draw n programs for the control arm, none of a held-out problem."""
    judges = {item.problem.function for item in held}
    drawn = dataset.unselected([one for one in pool if one.problem.function not in judges], n, seed)
    return [(control.problem, [control.source], control.asserts) for control in drawn]


def _adapted(sampler: Sampler, tuned: Tuned) -> Sampler:
    """Load the adapter into the same engines.

    Its identity is that of the file that servers use.
    """
    key = file_hash(tuned.gguf)
    sampler.engines.load_adapter(tuned.gguf, key, tuned.folder)
    return Sampler(sampler.engines, key)


def _tune(night: Night, data: TrainingData) -> Tuned:
    """Write the data set, fine-tune the base on it and export the adapter.

    No engine is open meanwhile: this needs all cores and memory.
    """
    run, profile, arm = night.run, night.profile, night.options.arm
    run.write(f"{arm}/dataset.jsonl", dataset.to_jsonl(data.learned))
    if profile.own_answers:
        run.write(f"{arm}/own-answers.jsonl", dataset.to_jsonl(data.own.rehearsed))
    if not data.rows:
        report = write_report(run, arm, night.funnel, (), None)
        raise TrainerError(
            f"No problem reached a consensus, so there is nothing to train on: see {report}, and use a larger "
            "profile or a stronger base."
        )
    parts = [f"{len(data.rows)} examples"]
    if profile.own_answers:
        parts.append(f"{len(data.own.learned)} of the base's own answers")
        parts.append(f"{len(data.own.rehearsed)} more to rehearse")
    night.reporter.message(f"Data set: {', '.join(parts)}")
    tuning = Tuning(
        profile.rank, profile.epochs, profile.learning_rate, profile.batch, profile.seed, night.options.four_bit,
        profile.teacher_temperature,
    )  # fmt: skip
    steps = profile.epochs * -(-(len(data.learned) + len(data.own.rehearsed)) // profile.batch)
    base = night.model.base
    with night.reporter.stage("fine-tuning", steps, "steps") as step:
        tuned = finetune(
            base, data.learned, tuning, run.finetune, lambda done, _, loss: step(done, f"loss {loss:.3f}"),
            data.own.rehearsed,
        )  # fmt: skip
    if not tuned.gguf.is_file():
        export_adapter(tuned.folder, base.config, tuned.gguf)
    return tuned


def _finish(night: Night, data: TrainingData, tuned: Tuned, acceptance: Acceptance) -> Result:
    """Publish an accepted adapter, and write result.json and the report.

    The control arm is a measurement: it is kept for `ucoder eval --adapter`, and never served by itself.
    """
    run, model, arm = night.run, night.model, night.options.arm
    registry = AdapterRegistry(night.settings.data_dir / "adapters", model.prepared.source_sha256)
    version = None
    if acceptance.accepted or arm == "random":
        metrics = _metrics(acceptance, tuned.losses)
        version = publish(registry, model, run, night.options, night.nights, tuned, metrics)
    rehearsed = data.own.rehearsed
    result = Result(
        version=version,
        served=version is not None and is_served(version, registry, model, night.settings),
        acceptance=acceptance,
        nights=night.nights,
        programs=data.n_programs,
        examples=len(data.rows),
        learned=len(data.own.learned),
        rehearsed=len(rehearsed),
        dataset_sha256=dataset.sha256_of(dataset.to_jsonl(data.learned)),
        own_answers_sha256=(
            dataset.sha256_of(dataset.to_jsonl(rehearsed)) if night.profile.own_answers else None
        ),
        report=run.arm(arm) / "report.html",
    )
    run.write(f"{arm}/result.json", json.dumps(to_plain(result), indent=1))
    write_report(run, arm, night.funnel, tuned.losses, result)
    return result


def _metrics(acceptance: Acceptance, losses: Sequence[tuple[int, float]]) -> dict[str, float]:
    """The figures that the registry keeps of an adapter."""
    return {
        "gate_base": acceptance.base.value, "gate_adapter": acceptance.adapter.value,
        "gate_problems": acceptance.problems, "final_loss": losses[-1][1], "published_at": time.time(),
    }  # fmt: skip


def publish(
    registry: AdapterRegistry,
    model: ServedBase,
    run: RunFolder,
    options: Options,
    nights: int,
    tuned: Tuned,
    metrics: Mapping[str, float],
) -> str:
    """Publish once.

    A run that was killed after publishing finds its own version again.

    A version that was published and then taken back stays so, however often the finished run is repeated.
    """
    activate = options.arm != "random"
    name = f"{run.path.name}/{options.arm}/{tuned.folder.name}"
    for version in registry.versions():
        if version.manifest.training_run == name:
            if activate and finished_nights(run, options.arm) < nights:
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


def is_served(version: str, registry: AdapterRegistry, model: ServedBase, settings: Settings) -> bool:
    """Return True if servers use the adapter from now on.

    It is then the current adapter of the base that they serve.
    """
    try:
        current = registry.current()
    except AdapterError:
        return False  # another one was chosen and is damaged: not a reason to lose what was trained
    return current is not None and current.version == version and model.is_configured(settings)
