"""Opening a session: the one place where sessions and the PyTorch network meet."""

from __future__ import annotations

import logging
from pathlib import Path

from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.session.growing_rules import GrowMode
from CTSAM3DLib.session.memory import memory_warning
from CTSAM3DLib.session.session import InteractiveSession


def open_session(
    volume: Volume,
    model: str | Path | Predictor | None = None,
    device: str = "auto",
    spacing_mm: float | None = None,
    grow: bool | str = False,
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
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; of no effect for a predictor.
    spacing_mm : float, optional
        Voxel size at which the model looks at the volume; default: chosen from the spacing of
        the volume and the range of the model.
    grow : bool or str
        Follow a structure beyond the patch of a positive click, some 10 cm wide, to its end;
        one such click takes as many times longer as there are patches. True for the way that
        measured best, or the name of a `GrowMode`: off, frontier, coarse, both.

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

    Examples
    --------
    >>> open_session(None, model=3)
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.BundleError: expected a model id, a path or a Predictor, got int
    """
    mode = GrowMode.of(grow)
    if model is None or isinstance(model, (str, Path)):
        from CTSAM3DLib.bundles.predictor import load_predictor

        model = load_predictor(model, device)
    if not _is_predictor(model):
        message = f"expected a model id, a path or a Predictor, got {type(model).__name__}"
        raise BundleError(message)
    warning = memory_warning(volume, model, spacing_mm, bool(mode))
    if warning is not None:
        logging.getLogger(__name__).warning(warning)
    return InteractiveSession.for_volume(volume, model, spacing_mm, grow=mode)


def _is_predictor(model: object) -> bool:
    """Tell whether an object has all that `Predictor` asks for."""
    return isinstance(model, Predictor)
