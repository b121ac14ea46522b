"""What a session needs from a model: settings, encode, decode and cross-patch.

The session knows only this contract; the network behind it (PyTorch, a numpy stand-in for
tests, a remote service) is free to choose how to fulfil it. The module imports numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import BundleError

Embedding: TypeAlias = Any
"""Result of `Predictor.encode`: opaque, immutable, may be decoded any number of times."""


@dataclass(frozen=True)
class ModelSettings:
    """Numbers that belong to a trained model and travel inside its bundle.

    Raises BundleError if a value cannot belong to a usable model.

    Examples
    --------
    >>> settings = ModelSettings("demo", 64, (1.5, 4.0), 2.0, ((-125.0, 225.0),))
    >>> settings.patch_size
    64
    >>> ModelSettings.from_dict(settings.to_dict()) == settings
    True
    """

    model_id: str  # As in the manifest
    patch_size: int  # Edge of the cubic patch in voxels
    spacing_range_mm: tuple[float, float]  # Smallest and largest isotropic voxels of the training
    default_spacing_mm: float  # Where the caller names none
    windows_hu: tuple[tuple[float, float], ...]  # Each gives one input channel scaled to [0, 1]
    version: int = 1  # Of the bundle format
    # Weights of the original publication: click maps overwrite each other and the prompt is
    # resized without anti-aliasing, as in the published code
    official: bool = False
    cross_patch_trained: bool = False  # The answers of `Predictor.cross_patch` mean something
    cross_patch_aligned: bool = False  # `Predictor.cross_patch` wants its patch on the neighbour's
    # Of anatomies that are seen best with voxels of another size; see `tuning.voxel_size_mm`
    voxel_sizes_mm: Mapping[str, float] = field(default_factory=dict)
    intensity_weight: float = 0.0  # See `session.intensities.sharpened`
    opposite_weight: float = 0.0  # See `session.opposite.less_the_opposite`
    calibrated_as: str = ""  # Model whose calibration holds for this one as well
    # Adapter of the decoder by anatomy, for those that have one; see `tuning.adapter_of`
    adapters: Mapping[str, str] = field(default_factory=dict)
    # Anatomies that lead to others where ``grow="auto"`` follows them; see `tuning.is_followed`
    not_followed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.patch_size < 1:
            raise BundleError(f"patch_size must be at least 1 voxel, got {self.patch_size}")
        low, high = self.spacing_range_mm
        if not (0.0 < low <= self.default_spacing_mm <= high < math.inf):
            raise BundleError(
                "expected 0 < smallest <= default <= largest spacing in mm, "
                f"got range ({low}, {high}) and default {self.default_spacing_mm}"
            )
        if not self.windows_hu or any(not (a < b) for a, b in self.windows_hu):
            raise BundleError(
                f"expected HU windows (low, high) with low < high, got {self.windows_hu}"
            )
        wrong = {name: mm for name, mm in self.voxel_sizes_mm.items() if not low <= mm <= high}
        if wrong:
            raise BundleError(f"expected voxel sizes from {low} to {high} mm, got {wrong}")
        for name in ("intensity_weight", "opposite_weight"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise BundleError(f"expected {name} to be 0 or more, got {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a dictionary of JSON types, one entry for each field."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelSettings:
        """Build settings from JSON types; entries are named like the fields, others ignored.

        Raises BundleError if a needed entry is missing or has the wrong type.
        """
        try:
            model_id, patch_size = str(values["model_id"]), int(values["patch_size"])
            low, high = values["spacing_range_mm"]
            return cls(
                model_id=model_id,
                patch_size=patch_size,
                spacing_range_mm=(float(low), float(high)),
                default_spacing_mm=float(values["default_spacing_mm"]),
                windows_hu=tuple((float(a), float(b)) for a, b in values["windows_hu"]),
                version=int(values.get("version", 1)),
                official=bool(values.get("official", False)),
                cross_patch_trained=bool(values.get("cross_patch_trained", False)),
                cross_patch_aligned=bool(values.get("cross_patch_aligned", False)),
                voxel_sizes_mm={
                    str(name): float(mm)
                    for name, mm in dict(values.get("voxel_sizes_mm", {})).items()
                },
                intensity_weight=float(values.get("intensity_weight", 0.0)),
                opposite_weight=float(values.get("opposite_weight", 0.0)),
                calibrated_as=str(values.get("calibrated_as", "")),
                adapters={
                    str(name): str(adapter)
                    for name, adapter in dict(values.get("adapters", {})).items()
                },
                not_followed=_names(values.get("not_followed", [])),
            )
        except KeyError as error:
            raise BundleError(f"model settings lack the entry {error}") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise BundleError(f"model settings have an entry of the wrong type: {error}") from error


def _names(values: Any) -> tuple[str, ...]:
    """Return a list of names; a text, which is a list of letters as well, is none."""
    if isinstance(values, str):
        raise TypeError(f"expected a list of names, got {values!r}")
    return tuple(str(name) for name in values)


@runtime_checkable
class Predictor(Protocol):
    """A promptable model of one cubic patch.

    Patch arrays are KJI, `(patch_size, patch_size, patch_size)`, float32. A predictor keeps no
    state between calls: the same arguments give the same result.
    """

    @property
    def settings(self) -> ModelSettings:
        """Numbers that belong to the trained model."""
        ...

    @property
    def device(self) -> str:
        """Where it computes, for example ``"cpu"`` or ``"cuda:0"``."""
        ...

    def encode(self, patch_hu: NDArray[np.float32]) -> Embedding:
        """Compute what every later click in this patch shares: safe to keep in a cache.

        The patch is in HU, float32 (D, H, W), KJI; windowing happens inside the model.
        """
        ...

    def decode(
        self,
        embedding: Embedding,
        points_kji: NDArray[np.float32],
        labels: NDArray[np.int64],
        previous_logits: NDArray[np.float32] | None,
        adapter: str = "",
    ) -> NDArray[np.float32]:
        """Segment the object that the clicks describe.

        Parameters
        ----------
        embedding : Embedding
            Result of `encode` for this patch.
        points_kji : ndarray, float32, (N, 3)
            Clicks in patch voxel coordinates, order K, J, I; voxel centres are integers. None
            (N = 0) only where an earlier result is given.
        labels : ndarray, int64, (N,)
            1 for a positive click, 0 for a negative one.
        previous_logits : ndarray, float32, (D, H, W), or None
            Earlier result in this patch (before the sigmoid), or None at the first click.
        adapter : str
            One of those that the settings name, to decode with; empty for the usual decoder. A
            model whose settings name none is never asked with one.

        Returns
        -------
        ndarray, float32, (D, H, W)
            Logits: positive inside the object.
        """
        ...

    def cross_patch(
        self,
        patch_hu: NDArray[np.float32],
        mask: NDArray[np.bool_],
        neighbour_hu: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Predict where a user would click in a neighbouring patch (cross-patch prompting).

        Parameters
        ----------
        patch_hu : ndarray, float32, (D, H, W)
            Hounsfield units of the segmented patch, on its own grid. For a model with
            `cross_patch_aligned`: on the neighbour's grid, NaN where nothing is known yet; all
            patches that are known may be in it.
        mask : ndarray, bool, (D, H, W)
            The object there.
        neighbour_hu : ndarray, float32, (D, H, W)
            Hounsfield units of the neighbour.

        Returns
        -------
        ndarray, float32, (D, H, W)
            Expectation of a positive click in the neighbour, 0 to 1. For a model with
            `cross_patch_aligned` it is 0 where something is known, and its peak is the
            probability that the object continues where nothing is.
        """
        ...


@runtime_checkable
class TellsNotices(Protocol):
    """A predictor that may have something to tell the user, such as that it changed its device."""

    def take_notices(self) -> tuple[str, ...]:
        """Return sentences for the user that were not returned before."""
        ...


def notices_of(predictor: object) -> tuple[str, ...]:
    """Return what a predictor wants the user to know and has not told yet; most want nothing."""
    return predictor.take_notices() if isinstance(predictor, TellsNotices) else ()
