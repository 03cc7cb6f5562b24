"""The models that the setting `model` names on this machine, in the order to try them.

    auto                    the largest installed model that answers in time here (`choose`)
    embedded                the carried model
    qwen2.5-coder-0.5b      a name of the catalogue, which must be installed
    ~/models/mine.gguf      a file

Nothing here downloads anything.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ucoder_lsp.config import AUTO, EMBEDDED, Settings, config_path
from ucoder_lsp.engine.threads import default_threads
from ucoder_lsp.models.catalogue import CatalogueEntry, load_catalogue
from ucoder_lsp.models.choose import LIMIT_S, ServableModel, choose
from ucoder_lsp.models.errors import ModelError
from ucoder_lsp.models.gguf import Progress, remembered_sha256
from ucoder_lsp.models.measurements import Measurement, read_measurement
from ucoder_lsp.models.prepare import EMBEDDED_SHA256
from ucoder_lsp.models.store import installed
from ucoder_lsp.models.store import resolve as resolve_file
from ucoder_lsp.models.trial import measure_quickly


@dataclass(frozen=True, slots=True)
class ModelHere:
    """A model on this machine."""

    name: str
    path: Path | None
    """None for the carried model, as in `prepare_model`."""
    parameters: int = 0
    """Number of weights; the size of the file where the catalogue does not say."""

    @property
    def argument(self) -> str:
        """What names it on the command line."""
        return str(self.path) if self.path is not None and self.path.name == self.name else self.name

    def sha256(self, cache_dir: Path) -> str:
        """Return the hash of its file."""
        return EMBEDDED_SHA256 if self.path is None else remembered_sha256(self.path, cache_dir)

    def measurement(self, settings: Settings) -> Measurement | None:
        """Return what was measured of it here; None if it was not."""
        threads = settings.threads or default_threads()
        return read_measurement(self.sha256(settings.cache_dir), settings.cache_dir, threads)

    def kind(self, settings: Settings) -> str:
        """Return the `quantization` to serve it with."""
        record = self.measurement(settings)
        return record.chosen if record is not None and record.chosen else "auto"


@dataclass(frozen=True, slots=True)
class ServedModels:
    """What the setting `model` means on this machine."""

    models: tuple[ModelHere, ...]
    """To try in this order; the first is the one to serve."""
    reason: str = ""
    """Why, in words, and what would be faster; may be empty where the setting names one model."""


def served_models(
    settings: Settings, *, progress: Progress | None = None, measuring: bool = True
) -> ServedModels:
    """Return the models to serve, best first.

    Args:
        progress: called while a model is measured.
        measuring: whether `auto` may measure a model that it must judge; otherwise it counts as unknown.

    Raises:
        ModelError: the setting names a model that is not here.
    """
    if settings.model != AUTO:
        model = find_model(settings.model, settings)
        return ServedModels((model,), _advice(model, settings))
    here = models_here(settings)
    judged = _judge(here, settings, progress, measuring)
    choice = choose(judged)
    models = tuple(here[name] for name in choice.order)
    reason = " ".join(filter(None, [choice.reason, *(_advice(model, settings) for model in models[:1])]))
    if len(here) == 1 and (better := _not_here(settings, here)):
        reason += f" `ucoder models get {better[0]}` gets a better one."
    return ServedModels(models, reason)


def described(settings: Settings) -> str:
    """Return what the setting `model` means on this machine, in words.

    Nothing is measured for it.
    """
    try:
        served = served_models(settings, measuring=False)
    except ModelError as error:
        return f"not usable: {error}"
    return " ".join([*(f"{model.name}." for model in served.models[:1]), *filter(None, [served.reason])])


def auto_model(settings: Settings) -> str:
    """Return the name of the model that `auto` serves by what is measured; empty for none."""
    return next((model.name for model in served_models(settings, measuring=False).models), "")


def models_here(settings: Settings) -> dict[str, ModelHere]:
    """Return the models of the catalogue that can be served, by name, the largest first.

    The carried model is always among them.
    """
    catalogue = _catalogue()
    paths = installed(catalogue, settings.data_dir)
    entries = sorted(catalogue.values(), key=lambda entry: -_size(entry))
    return {
        entry.name: ModelHere(entry.name, None if entry.carried else paths[entry.name], _size(entry))
        for entry in entries
        if entry.carried or entry.name in paths
    }


def find_model(named: str, settings: Settings) -> ModelHere:
    """Return the model of this name or file.

    Args:
        named: `embedded`, a name of the catalogue, or the path of a GGUF file.

    Raises:
        ModelError: there is no such name, it is not installed, or the file is not a GGUF.
    """
    catalogue = _catalogue()
    if named == EMBEDDED or (named in catalogue and catalogue[named].carried):
        carried = next(entry for entry in catalogue.values() if entry.carried)
        return ModelHere(carried.name, None, _size(carried))
    if named not in catalogue and not _looks_like_path(named):
        raise ModelError(unknown_name(named, catalogue))
    path = resolve_file(named, catalogue, settings.data_dir)
    if named in catalogue:
        return ModelHere(named, path, _size(catalogue[named]))
    return ModelHere(path.name, path, path.stat().st_size)


def model_path(settings: Settings, *, measuring: bool = True) -> Path | None:
    """Return the file that the setting `model` serves; None for the carried model.

    For programs that use one model, such as training.

    Raises:
        ModelError: as `served_models`, or no model runs here.
    """
    served = served_models(settings, measuring=measuring)
    if not served.models:
        raise ModelError(served.reason)
    return served.models[0].path


def unknown_name(named: str, catalogue: Mapping[str, CatalogueEntry]) -> str:
    """Return the message for a name that the catalogue lacks."""
    close = difflib.get_close_matches(named, (*catalogue, AUTO, EMBEDDED), n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"There is no model called '{named}': {hint}`ucoder models list` shows all."


def _judge(
    here: Mapping[str, ModelHere], settings: Settings, progress: Progress | None, measuring: bool
) -> Sequence[ServableModel]:
    """Return what is known of each model.

    Measures from the largest on, until one answers in time. The last one is never measured for this: it is served
    if no other one can be.
    """
    judged = []
    found = False
    for number, model in enumerate(here.values(), 1):
        try:
            record = model.measurement(settings)
            if record is None and measuring and not found and number < len(here):
                record = measure_quickly(
                    model.path,
                    settings.cache_dir,
                    name=model.name,
                    n_threads=settings.threads,
                    progress=progress,
                )
        except (ModelError, OSError) as error:
            judged.append(ServableModel(model.name, model.parameters, problem=str(error)))
            continue
        judged.append(_as_measured(model, record, settings))
        found = found or (judged[-1].line_s or LIMIT_S + 1) <= LIMIT_S
    return judged


def _as_measured(model: ModelHere, record: Measurement | None, settings: Settings) -> ServableModel:
    if record is None:
        return ServableModel(model.name, model.parameters)
    if record.best is None:
        problem = f"{' '.join(record.remarks)} Try again with `ucoder models measure {model.name}`."
        return ServableModel(model.name, model.parameters, problem=problem)
    line_s = record.best.line_s(settings.candidates)
    return ServableModel(model.name, model.parameters, line_s, record.complete)


def _advice(model: ModelHere, settings: Settings) -> str:
    """Return how the model could become faster; empty where nothing is left to try.

    The carried model has a decided kind, so it needs no measurement.
    """
    record = model.measurement(settings)
    if model.path is None or (record is not None and record.complete):
        return ""
    if record is not None and record.remarks:
        return " ".join(record.remarks)
    return f"`ucoder models measure {model.argument}` looks for the kind of it that is fastest here."


def _not_here(settings: Settings, here: Mapping[str, ModelHere]) -> list[str]:
    """Return the names of the catalogue that could be got, the smallest first."""
    missing = [entry for entry in _catalogue().values() if entry.name not in here]
    return [entry.name for entry in sorted(missing, key=lambda entry: entry.parameters)]


def _catalogue() -> dict[str, CatalogueEntry]:
    return load_catalogue(config_path(os.environ).parent)[0]


def _size(entry: CatalogueEntry) -> int:
    return entry.parameters or entry.bytes


def _looks_like_path(named: str) -> bool:
    path = Path(named).expanduser()
    return path.suffix == ".gguf" or path.name != named or path.exists()
