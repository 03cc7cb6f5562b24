"""The choice of the kind of weights that a model is served in, by measurement.

The published file, Q4_0, IQ4_NL and Q8_0 are tried on this machine. The fastest kind is kept whose perplexity on a
shipped text is within 2 % of the published file's. Nothing is requantized for a GPU, whose kernels are fast for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ucoder_lsp.engine.errors import EngineError
from ucoder_lsp.engine.threads import default_threads
from ucoder_lsp.engine.trial import Trial, run_trial
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.gguf import Progress, missing_bytes, remove_requantized
from ucoder_lsp.models.measurements import MeasuredKind, Measurement, keep_measurement
from ucoder_lsp.models.prepare import EMBEDDED_KIND, PreparedModel, prepare_model

AS_IS = "as-is"
VARIANTS = ("iq4_nl", "q4_0", "q8_0")
WORST_PERPLEXITY = 1.02
"""The largest perplexity of a kind, as a multiple of the published file's."""
TEXT = Path(__file__).with_name("perplexity.txt")
"""Python with docstrings, written for this trial: about 1,200 tokens."""

RunTrial = Callable[[PreparedModel], Trial]


def measure(
    configured: Path | None,
    cache_dir: Path,
    *,
    name: str = "",
    n_threads: int = 0,
    progress: Progress | None = None,
    trial: RunTrial | None = None,
) -> Measurement:
    """Try every kind of a model on this machine, and keep the record.

    Takes seconds for each kind, and longer for a large model on a slow machine.

    Args:
        configured: a GGUF file; None for the embedded model.
        name: for the progress; by default the file's.
        n_threads: threads of llama.cpp; 0 means one per core.
        trial: measures one file; for tests.

    Returns:
        The record. Without kinds, the model does not run here, and `remarks` holds the reason.

    Raises:
        ModelError: the file is missing or not a GGUF.
    """
    n_threads = n_threads or default_threads()
    trial = trial or (lambda prepared: _run(prepared, n_threads, perplexity=True))
    report = _reporter(progress, name or (configured.name if configured else "the embedded model"))
    report("as published", 0.0)
    published = prepare_model(configured, cache_dir, quantization=AS_IS, progress=progress)
    sha256 = published.source_sha256
    try:
        first = _measured(published, trial)
    except EngineError as error:
        return _kept(Measurement(sha256, "", (), True, (str(error),)), cache_dir, n_threads)
    kinds, remarks = [first], []
    if not first.trial.gpu:
        missing = missing_bytes(published.source, cache_dir)
        if missing:
            remarks.append(
                f"There is no room to requantize it, so it is served as published: free {missing // 2**20 + 1} MiB "
                f"in {cache_dir}, then run `ucoder models measure`."
            )
        for done, kind in enumerate(() if missing else VARIANTS, 1):
            report(f"as {kind}", done / (1 + len(VARIANTS)))
            try:
                variant = prepare_model(configured, cache_dir, quantization=kind, progress=progress)
                kinds.append(_measured(variant, trial))
            except (EngineError, ModelError) as error:
                remarks.append(str(error))
            _remove_losers(kinds, kind, published, cache_dir, configured is None)
    report("done", 1.0)
    record = Measurement(sha256, fastest(kinds), tuple(kinds), not remarks, tuple(remarks))
    return _kept(record, cache_dir, n_threads)


def measure_quickly(
    configured: Path | None,
    cache_dir: Path,
    *,
    name: str,
    n_threads: int = 0,
    progress: Progress | None = None,
    trial: RunTrial | None = None,
) -> Measurement:
    """Measure only the speed of the published file, and keep the record as incomplete.

    A server does so at its start, where somebody waits. Arguments, result and errors are those of `measure`.
    """
    n_threads = n_threads or default_threads()
    trial = trial or (lambda prepared: _run(prepared, n_threads, perplexity=False))
    _reporter(progress, name)("its speed, once", 0.0)
    prepared = prepare_model(configured, cache_dir, progress=progress)
    try:
        first = _measured(prepared, trial)
        record = Measurement(prepared.source_sha256, first.kind, (first,), first.trial.gpu)
    except EngineError as error:
        record = Measurement(prepared.source_sha256, "", (), False, (str(error),))
    return _kept(record, cache_dir, n_threads)


def fastest(kinds: Sequence[MeasuredKind]) -> str:
    """Return the fastest kind among those that keep the published file's quality.

    The first of `kinds` is the published file.
    """
    reference = kinds[0].trial.perplexity
    good = [
        measured
        for measured in kinds
        if measured.kind == AS_IS
        or (
            reference is not None
            and measured.trial.perplexity is not None
            and measured.trial.perplexity <= WORST_PERPLEXITY * reference
        )
    ]
    return min(good, key=lambda measured: measured.line_s()).kind


def _run(prepared: PreparedModel, n_threads: int, *, perplexity: bool) -> Trial:
    return run_trial(
        prepared.path, TEXT, n_threads=n_threads, extra_buffers=prepared.extra_buffers, perplexity=perplexity
    )


def _measured(prepared: PreparedModel, trial: RunTrial) -> MeasuredKind:
    return MeasuredKind(prepared.kind, prepared.path.stat().st_size, trial(prepared))


def _kept(record: Measurement, cache_dir: Path, n_threads: int) -> Measurement:
    keep_measurement(record, cache_dir, n_threads)
    return record


def _remove_losers(
    kinds: Sequence[MeasuredKind], last: str, published: PreparedModel, cache_dir: Path, embedded: bool
) -> None:
    """Remove the requantized files that are not the fastest so far, so that at most two exist at a time.

    The embedded model's decided kind stays, because training and evaluation use it.
    """
    kept = {fastest(kinds), EMBEDDED_KIND if embedded else ""}
    for kind in {last, *(measured.kind for measured in kinds)} - kept - {AS_IS}:
        remove_requantized(published.source, published.source_sha256, kind, cache_dir)


def _reporter(progress: Progress | None, name: str) -> Progress:
    def report(what: str, share: float) -> None:
        if progress is not None:
            progress(f"Measuring {name} on this CPU ({what})", share)

    return report
