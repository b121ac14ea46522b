"""The authors' weights, downloaded by the user, become a model of this installation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CTSAM3DLib.bundles.checkpoint_file import read_checkpoint
from CTSAM3DLib.bundles.export import check_id, check_target, export_beside, export_model
from CTSAM3DLib.bundles.model_card import official_card
from CTSAM3DLib.bundles.official_weights import (
    OfficialWeights,
    check_fits_half,
    official_model,
    official_weights,
)
from CTSAM3DLib.errors import BundleError, CheckpointError, ModelExistsError
from CTSAM3DLib.io.outputs import check_outputs
from CTSAM3DLib.io.safe_write import check_writable
from CTSAM3DLib.io.text import read_settings
from CTSAM3DLib.models.folder import locked_folder
from CTSAM3DLib.models.manifest import MANIFEST_NAME, ModelEntry, entry_beside, read_manifest
from CTSAM3DLib.models.store import ModelStore, file_sha256

DEFAULT_ID = "ct-sam3d-{variant}"
HU_RANGE = (-2000.0, 10000.0)
SMALLEST_WINDOW_HU = 10.0
SPACING_RANGE_MM = (0.5, 5.0)

_EXAMPLE = '{"window_hu": [-125, 225], "spacing_mm": 1.5}'
_KEYS = ("window_hu", "spacing_mm")


@dataclass(frozen=True)
class ImportRequest:
    """What to import, and where to."""

    checkpoint: Path  # A file of ``torch.save`` with the weights, the authors' ``params.pth``
    config: Path | None = None  # See `read_import_config`
    model_id: str | None = None  # Name of the model; default: by its variant, see `DEFAULT_ID`
    output: Path | None = None  # Bundle file to write; default: one in the user's folder of models
    # Store float16; else float32, so that the model answers as the authors' does
    half: bool = False
    replace: bool = False  # Replace what is there


@dataclass(frozen=True)
class ImportedModel:
    """What was imported."""

    entry: ModelEntry
    described_in: Path  # the manifest, or the file of the entry next to the bundle
    parameters: int  # trainable numbers
    keys: int  # entries of the checkpoint, all of which were loaded
    has_cross_patch: bool  # has weights of the cross-patch predictor, trained or not
    half: bool  # float16 is stored
    notes: tuple[str, ...]  # what else the user should know about the checkpoint


def import_official(
    request: ImportRequest, report: Callable[[str], object] = lambda _: None
) -> ImportedModel:
    """Make a model of an official checkpoint; after an error everything is as it was.

    `report` is called with what is done next; what it raises ends the import. The default model
    stays what it is. Raises CheckpointError as `read_checkpoint`, `official_weights` and
    `read_import_config`; BundleError: the id cannot be used; `ModelExistsError` where `replace`
    would help; OutputFileError: a file cannot be written, or another process does not end changing
    the folder.
    """
    place = _Place(request, ModelStore.user().folders[0] / MANIFEST_NAME)
    source = request.checkpoint
    config = ImportConfig() if request.config is None else read_import_config(request.config)
    if request.model_id is not None:
        place.check(request.model_id)
    report(f"reading {source.name}")
    content = read_checkpoint(source)
    report("comparing keys and shapes, checking the weights")
    weights = official_weights(content, str(source))
    del content
    if request.half:
        check_fits_half(weights.state, str(source))
    name = request.model_id or DEFAULT_ID.format(variant=weights.config.name)
    report(f"waiting to write the model {name!r}")
    with locked_folder(place.folder):
        place.check(name)
        report(f"writing the model {name!r}")
        return place.write(weights, name, config)


@dataclass(frozen=True)
class _Place:
    """Where a model is to be written, and what is there."""

    request: ImportRequest
    manifest: Path  # Of the user's folder

    @property
    def folder(self) -> Path:
        """The folder that is changed."""
        output = self.request.output
        return self.manifest.parent if output is None else output.parent

    def check(self, name: str) -> None:
        """Raise BundleError or OutputFileError if the model may not be written under a name."""
        if self.request.output is None:
            self._check_folder(name)
        else:
            check_id(name)
            self._check_file(self.request.output)

    def write(self, weights: OfficialWeights, name: str, config: ImportConfig) -> ImportedModel:
        """Write bundle and entry."""
        source, path, half = self.request.checkpoint, self.request.output, self.request.half
        try:
            size, sha256 = source.stat().st_size, file_sha256(source)
        except OSError as error:
            text = f"{source}: expected a readable file, got: {error.strerror}"
            raise CheckpointError(text) from error
        facts = {"file": source.name, "sha256": sha256, "bytes": size}
        card = official_card(weights.config.name, facts)
        model = official_model(weights, name, config.window_hu, config.spacing_mm)
        parameters = sum(part.numel() for part in model.segmenter.parameters())
        if path is None:
            path = export_model(model, self.manifest, card, half=half)
            described = self.manifest
        else:
            described = export_beside(model, path, card, half=half)
        found = (parameters, len(weights.state), weights.has_cross_patch, half, weights.notes)
        return ImportedModel(entry_beside(path), described, *found)

    def _check_folder(self, name: str) -> None:
        check_target(self.manifest, name)
        path = self.manifest.with_name(f"{name}.pt")
        check_writable(path)
        own = ModelStore.user().entries()
        for other, entry in ModelStore.standard().entries().items():
            if other not in own and other.casefold() == name.casefold():
                raise BundleError(
                    f"expected an id that is free, got {name!r}, which the model in "
                    f"{entry.path.parent} has; choose another one"
                )
        for other in own:
            if other != name and other.casefold() == name.casefold():
                raise BundleError(f"expected an id unlike {other!r} of another model, got {name!r}")
        if not self.request.replace and (name in own or path.exists()):
            raise ModelExistsError(
                f"there is a model {name!r} already: {path}; replace it, or choose another id"
            )

    def _check_file(self, path: Path) -> None:
        if path.suffix != ".pt":
            raise BundleError(f"expected an output file that ends with .pt, got {path}")
        sidecar = path.with_name(path.name + ".json")
        inputs = [p for p in (self.request.checkpoint, self.request.config) if p is not None]
        check_outputs([{"model": path, "description": sidecar}], inputs)
        manifest = path.parent / MANIFEST_NAME
        if manifest.is_file() and any(e.path.name == path.name for e in read_manifest(manifest)[1]):
            raise BundleError(
                f"expected an output file of its own, got {path}, which {manifest} lists"
            )
        there = [p for p in (path, sidecar) if p.exists()]
        if there and not self.request.replace:
            raise ModelExistsError(
                f"there is a file already: {there[0]}; replace it, or choose another name"
            )


@dataclass(frozen=True)
class ImportConfig:
    """Values that differ from those of the authors; None: theirs."""

    window_hu: tuple[float, float] | None = None  # Hounsfield units that become 0 and 1
    spacing_mm: float | None = None  # Isotropic voxel size of the patches


def read_import_config(path: Path) -> ImportConfig:
    """Read the values of a configuration; it is never run.

    JSON: an object with ``window_hu`` (two numbers), ``spacing_mm`` (one number, or three equal
    ones), or both. Raises CheckpointError: Python instead of JSON, a file that cannot be read, an
    unknown entry, or a value that no CT could have.
    """
    if path.suffix.lower() in (".py", ".pyc", ".ipynb"):
        raise CheckpointError(
            f"{path}: expected JSON, got Python, which would be executed to be read; the import "
            f"never does that. Put the values that differ into a file such as {_EXAMPLE}; these "
            "two are all that may differ"
        )
    values = read_settings(path, _KEYS, CheckpointError, f" such as {_EXAMPLE}")
    window, spacing = values.get("window_hu"), values.get("spacing_mm")
    return ImportConfig(
        None if window is None else _window(window, path),
        None if spacing is None else _spacing(spacing, path),
    )


def _window(value: Any, path: Path) -> tuple[float, float]:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]  # a list of windows; the network has one input channel
    numbers = _numbers(value)
    if len(numbers) == 2:
        low, high = numbers
        if HU_RANGE[0] <= low and low + SMALLEST_WINDOW_HU <= high <= HU_RANGE[1]:
            return low, high
    raise CheckpointError(
        f'{path}: "window_hu": expected [low, high] in HU, at least {SMALLEST_WINDOW_HU:g} apart, '
        f"from {HU_RANGE[0]:g} to {HU_RANGE[1]:g}, got {value!r:.80}"
    )


def _spacing(value: Any, path: Path) -> float:
    numbers = _numbers(value if isinstance(value, list) else [value])
    if len(numbers) in (1, 3) and len(set(numbers)) == 1:
        low, high = SPACING_RANGE_MM
        if low <= numbers[0] <= high:
            return numbers[0]
    raise CheckpointError(
        f'{path}: "spacing_mm": expected one number (or three equal ones) from '
        f"{SPACING_RANGE_MM[0]:g} to {SPACING_RANGE_MM[1]:g}, got {value!r:.80}"
    )


def _numbers(value: Any) -> list[float]:
    """Return the finite numbers of a list; nothing if it holds anything else."""
    if not isinstance(value, list):
        return []
    try:
        numbers = [float(v) for v in value if type(v) in (int, float)]
    except OverflowError:
        return []
    return numbers if len(numbers) == len(value) and all(map(math.isfinite, numbers)) else []
