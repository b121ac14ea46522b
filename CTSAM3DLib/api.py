"""Opening a session, and segmenting from stored clicks: where sessions meet the network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import (
    BundleError,
    ClickOutsideVolumeError,
    ClicksFileError,
    VolumeError,
)
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.clicks import check_name, prompts_from_points
from CTSAM3DLib.io.segment import Base, RegionMask, Segment, Segmentation
from CTSAM3DLib.io.segmentation import write_segmentation
from CTSAM3DLib.models.contract import ModelSettings, Predictor, notices_of
from CTSAM3DLib.prompts import Prompts
from CTSAM3DLib.session.air import air_notices
from CTSAM3DLib.session.cuts import cut_notices
from CTSAM3DLib.session.growing_rules import GrowMode
from CTSAM3DLib.session.memory import memory_warning
from CTSAM3DLib.session.points import obeyed_voxels
from CTSAM3DLib.session.session import InteractiveSession

Progress = Callable[[str, int, int], None]
"""Called with the name of a structure, how many are done, and how many there are."""

_WRONG_PLACE = (
    "If a viewer shows this point inside the CT, the coordinate system of the clicks (RAS or LPS) "
    "or the header of the CT file is wrong"
)


def open_session(
    volume: Volume,
    model: str | Path | Predictor | None = None,
    device: str = "auto",
    spacing_mm: float | None = None,
    grow: bool | str = False,
    anatomy: str = "",
) -> InteractiveSession:
    """Open an interactive session for one structure in a volume.

    PyTorch is imported only when a model has to be loaded, that is, unless `model` is a
    predictor.

    Parameters
    ----------
    volume : Volume
        The CT, for example from `read_volume`.
    model : str, Path or Predictor, optional
        Id or file of a model, or a loaded one; default: the bundled model. For several
        structures load it once, or use `InteractiveSession.for_another_structure`.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``; of no effect for a predictor.
    spacing_mm : float, optional
        Voxel size at which the model looks at the volume, for all structures; default: chosen
        from the spacing of the volume, the range of the model and the anatomy.
    grow : bool or str
        Follow a structure beyond the patch of a positive click, some 10 cm wide, to its end;
        one such click takes as many times longer as the model is asked. True for the way that
        measured best, or the name of a `GrowMode`: off, auto, frontier, coarse.
    anatomy : str
        Name of the structure, such as ``"hip_left"`` or ``"Left hip"``. The model sees some with
        voxels of their own size.

    Returns
    -------
    InteractiveSession
        Without clicks.

    Raises
    ------
    BundleError
        If the model is unknown, missing, damaged or not a model.
    CTSAM3DError
        If there is no such way to grow.
    DeviceError
        If the device is unknown or not available.
    GeometryError
        If the spacing is not a positive number.
    NotEnoughMemoryError
        If not even the first click can succeed. A warning is logged where later ones may fail.
    VolumeError
        If the volume is something else, for example the path of a file.

    Examples
    --------
    >>> open_session("scan.nii.gz")
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.VolumeError: expected a Volume, got str. read_volume makes one of a file
    """
    _check_volume(volume)
    mode = GrowMode.of(grow)
    if model is None or isinstance(model, (str, Path)):
        from CTSAM3DLib.bundles.predictor import load_predictor

        model = load_predictor(model, device)
    if not isinstance(model, Predictor):
        raise BundleError(f"expected a model id, a path or a Predictor, got {type(model).__name__}")
    warning = memory_warning(volume, model, spacing_mm, bool(mode))
    if warning is not None:
        logging.getLogger(__name__).warning(warning)
    session = InteractiveSession.for_volume(volume, model, spacing_mm, grow=mode)
    return session.for_another_structure(anatomy=anatomy) if anatomy else session


@dataclass(frozen=True, eq=False)
class SegmentationResult(Segmentation):
    """The structures that were segmented in one volume, in the order of the clicks."""

    volume_name: str  # Stored with the clicks
    seconds: Mapping[str, float]  # For each structure, by its name
    load_seconds: float  # For the model
    settings: ModelSettings  # Of the model
    device: str  # Where the model ran
    grid_spacing_mm: float  # Voxel size at which the model looks at most structures
    grow: GrowMode = GrowMode.OFF  # How structures were followed beyond the patches of their clicks
    # What the user should know: another device, points in air
    notices: tuple[str, ...] = ()
    # See `InteractiveSession.uncertainty`; without structures that the model was not asked for
    uncertainty: Mapping[str, float] = field(default_factory=dict)

    @property
    def volumes_cm3(self) -> dict[str, float]:
        """Volume of each structure: voxels inside times the size of a voxel, in cm3."""
        voxel_mm3 = float(np.prod(self.geometry.spacing_mm))
        return {one.name: one.mask.voxel_count * voxel_mm3 / 1000 for one in self.segments}

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return the mask of a structure on the whole volume, (K, J, I) bool; KeyError for none."""
        return self[name].mask.full(self.geometry.shape_kji)

    def save(self, path: str | Path) -> None:
        """Write a ``.seg.nrrd`` file that 3D Slicer opens.

        Raises SegmentationFileError: the name does not end with ``.seg.nrrd``; OSError: the file
        cannot be written.
        """
        write_segmentation(path, self.segments, self.geometry, self.volume_name or None)


def segment(
    volume: Volume,
    clicks: Mapping[str, Prompts | Base | Mapping[str, Any]],
    model: str | Path | Predictor | None = None,
    device: str = "auto",
    spacing_mm: float | None = None,
    progress: Progress | None = None,
    grow: bool | str = False,
    click_progress: Progress | None = None,
) -> SegmentationResult:
    """Segment every clicked structure of a CT.

    The result is that of an interactive session to which the same clicks are added in the same
    order. All structures share the model and the embeddings of the image.

    Parameters
    ----------
    volume : Volume
        The CT, for example from `read_volume`.
    clicks : mapping
        Structure name to a `ClickHistory`, or to ``{"positive": [[r, a, s], ...], "negative":
        [...]}`` in mm, RAS, or to a `Base`.
    model, device, spacing_mm, grow
        See `open_session`.
    progress : callable, optional
        Called after each structure with its name, the number done and their number.
    click_progress : callable, optional
        Called after each click with the name of its structure, the number of clicks answered and
        the number of all clicks.

    Returns
    -------
    SegmentationResult
        Masks on the volume's own voxels; structures may overlap.

    Raises
    ------
    ClicksFileError
        No structure, one without a name or a positive click, or malformed positions.
    ClickOutsideVolumeError
        A click outside the volume; the text names structure and click.
    BundleError, CTSAM3DError, DeviceError, GeometryError, VolumeError
        See `open_session`.

    Examples
    --------
    >>> from CTSAM3DLib.geometry.grid import Geometry
    >>> volume = Volume(np.zeros((8, 8, 8), np.int16), Geometry(np.eye(4), (8, 8, 8)))
    >>> segment(volume, {"liver": {"negative": [[1, 2, 3]]}})
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.ClicksFileError: structure 'liver': expected a positive click, got none
    """
    _check_volume(volume)
    if not isinstance(clicks, Mapping):
        raise ClicksFileError(
            f"expected a mapping of names to clicks, got {type(clicks).__name__}. "
            "CTSAM3DLib.io.read_clicks makes one of clicks files"
        )
    bases = {name: given for name, given in clicks.items() if isinstance(given, Base)}
    structures = {name: _prompts_of(name, given) for name, given in clicks.items()}
    if not structures:
        raise ClicksFileError("expected clicks for at least one structure, got none")
    _check_inside(volume, structures)
    start = perf_counter()
    session = open_session(volume, model, device, spacing_mm, grow)
    load_seconds = perf_counter() - start
    segments: list[Segment] = []
    cuts: list[str] = []
    seconds, uncertainty = {}, {}
    answered = _counted(click_progress, sum(map(len, structures.values())))
    for name, prompts in structures.items():
        start = perf_counter()
        base = bases.get(name)
        one = _answered(session, name, prompts, base, partial(answered, name))
        update = one.state.changes_since(session.state)  # tight; `mask` would be the whole volume
        mask = RegionMask(update.mask_kji, update.bbox)
        segments.append(Segment(name, mask, prompts, corrected=base is not None))
        cuts += [f"structure {name!r}: {text}" for text in cut_notices(one.state)]
        if one.uncertainty is not None:
            uncertainty[name] = one.uncertainty
        seconds[name] = perf_counter() - start
        if progress is not None:
            progress(name, len(segments), len(structures))
    return SegmentationResult(
        segments=tuple(segments),
        geometry=volume.geometry,
        volume_name=volume.name,
        seconds=seconds,
        load_seconds=load_seconds,
        settings=session.predictor.settings,
        device=session.predictor.device,
        grid_spacing_mm=session.grid.spacing_mm[0],
        grow=session.grow,
        notices=(*notices_of(session.predictor), *_in_air(volume, structures, bases), *cuts),
        uncertainty=uncertainty,
    )


def _check_volume(volume: object) -> None:
    """Raise VolumeError for a path, an array or something else that is no volume."""
    if not isinstance(volume, Volume):
        raise VolumeError(
            f"expected a Volume, got {type(volume).__name__}. read_volume makes one of a file"
        )


def _prompts_of(name: str, given: Prompts | Base | Mapping[str, Any]) -> Prompts:
    """Return the clicks of one structure, at least one of them positive where it has no mask."""
    check_name(name)
    if isinstance(given, Base):
        return given.prompts
    what = f"structure {name!r}"
    prompts = given if isinstance(given, Prompts) else prompts_from_points(given, what)
    if not prompts.has_positive:
        raise ClicksFileError(f"{what}: expected a positive click, got none")
    return prompts


def _check_inside(volume: Volume, structures: Mapping[str, Prompts]) -> None:
    """Raise for a click outside the volume before any time is spent."""
    for name, prompts in structures.items():
        for number, click in enumerate(prompts, start=1):
            try:
                obeyed_voxels(click, volume.geometry)
            except ClickOutsideVolumeError as error:
                text = f"structure {name!r}, click {number}: {error}. {_WRONG_PLACE}"
                raise ClickOutsideVolumeError(text) from error


def _in_air(
    volume: Volume, structures: Mapping[str, Prompts], bases: Mapping[str, Base]
) -> list[str]:
    """Return what is told of new prompts in the air round the body."""
    return [
        f"structure {name!r}, prompt {number}: {text}"
        for name, prompts in structures.items()
        for number, prompt in enumerate(prompts, start=1)
        if name not in bases or prompt not in bases[name].answered
        for text in air_notices(volume, [prompt])
    ]


def _counted(progress: Progress | None, total: int) -> Callable[[str], None]:
    """Return a function that passes on the name of each click's structure with a running number."""
    numbers = count(1)

    def answered(name: str) -> None:
        if progress is not None:
            progress(name, next(numbers), total)

    return answered


def _answered(
    shared: InteractiveSession,
    name: str,
    prompts: Prompts,
    base: Base | None,
    answered: Callable[[], None],
) -> InteractiveSession:
    """Return the session of one structure; all share their image embeddings."""
    session = shared.for_another_structure(anatomy=name)
    known = 0
    if base is not None:
        session.rebase(base.answered, base.mask)
        known = len(base.answered)
    for _ in prompts[:known]:
        answered()
    for click in prompts[known:]:
        session.add(click)
        answered()
    return session
