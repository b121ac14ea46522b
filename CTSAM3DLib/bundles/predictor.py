"""A bundle on a device, behind the Predictor contract: numpy in, numpy out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CTSAM3DLib.bundles.fallback import FallbackPredictor, Stage, stages_from
from CTSAM3DLib.bundles.precision import check_precision, exact_float32, narrow_segmenter
from CTSAM3DLib.errors import BundleError, DeviceError
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.models.store import resolve_model
from CTSAM3DLib.network.fast.rows import arrange_weights

SETTINGS_FILE = "settings.json"


def resolve_device(device: str = "auto") -> torch.device:
    """Turn a device name into a device that can be used.

    Parameters
    ----------
    device : str
        ``auto`` (CUDA where there is one, else CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    DeviceError
        When the name is unknown or the device is not there.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    >>> resolve_device("gpu")
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.DeviceError: expected device auto, cpu, cuda or cuda:N, got 'gpu'
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name, _, number = device.partition(":")
    if name not in ("cpu", "cuda") or (number and not number.isdigit()):
        message = f"expected device auto, cpu, cuda or cuda:N, got {device!r}"
        raise DeviceError(message)
    if name == "cuda":
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= there:
            message = f"device {device!r} is not available: {there} CUDA devices were found"
            raise DeviceError(message)
    return torch.device(device)


class TorchPredictor:
    """Run a TorchScript bundle.

    Parameters
    ----------
    path : Path
        A bundle written by `CTSAM3DLib.bundles.export.write_bundle`; its checksum is verified by
        the model store, not here.
    device : str
        See `resolve_device`.
    half : bool
        Weights and image features in half precision: half of the memory, not exact, and slow on
        a processor.
    precision : str
        ``float32`` or ``bfloat16``, see `check_precision`.

    Raises
    ------
    BundleError
        When the file is no bundle of this project.
    DeviceError
        When the device cannot be used.
    """

    def __init__(
        self, path: Path, device: str = "auto", *, half: bool = False, precision: str = "float32"
    ) -> None:
        self._device = resolve_device(device)
        check_precision(precision, self._device)
        self._narrow = precision == "bfloat16"
        self._dtype = torch.float16 if half else torch.float32
        extra = {SETTINGS_FILE: ""}
        try:
            module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
        except (RuntimeError, ValueError) as error:
            message = f"{path} is not a readable TorchScript bundle: {str(error).splitlines()[0]}"
            raise BundleError(message) from error
        if not extra[SETTINGS_FILE]:
            message = (
                f"{path} is TorchScript but no bundle of CT-SAM3D: it holds no {SETTINGS_FILE}"
            )
            raise BundleError(message)
        self._settings = ModelSettings.from_dict(json.loads(extra[SETTINGS_FILE]))
        self._module = module.to(self._dtype).eval().to(self._device)
        on_card, short = self._device.type != "cpu", half or self._narrow
        self._exact_on_card = on_card and not short
        # On a processor rows are convolved; a card multiplies short numbers in that order only.
        if short or not on_card:
            self._module = arrange_weights(self._module)
        if self._narrow:
            narrow_segmenter(self._module)

    @property
    def settings(self) -> ModelSettings:
        """Settings of the bundle."""
        return self._settings

    @property
    def device(self) -> str:
        """Device in use, such as ``cpu`` or ``cuda:0``."""
        return str(self._device)

    def encode(self, patch_hu: NDArray[np.float32]) -> list[Tensor]:
        """Embed a (D, H, W) patch of HU; see `Predictor.encode`."""
        embedding: list[Tensor]
        with self._as_written():
            if self._narrow:  # HU need more digits than bfloat16 has
                image = self._module.normalise(self._tensor(patch_hu)[None])
                embedding = self._module.segmenter.encode(image.bfloat16())
            else:
                embedding = self._module.encode(self._typed(patch_hu))
        return embedding

    def decode(
        self,
        embedding: list[Tensor],
        points_kji: NDArray[np.float32],
        labels: NDArray[np.int64],
        previous_logits: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Decode clicks into (D, H, W) logits; see `Predictor.decode`."""
        previous = None if previous_logits is None else self._tensor(previous_logits)
        with self._as_written():
            logits = self._module.decode(
                embedding,
                self._tensor(np.asarray(points_kji, np.float32).reshape(-1, 3)),
                torch.tensor(np.asarray(labels, np.int64).tolist(), dtype=torch.int64),
                previous,
            )
        return to_numpy(logits)

    def cross_patch(
        self,
        patch_hu: NDArray[np.float32],
        mask: NDArray[np.bool_],
        neighbour_hu: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Heat map of the expected click in the neighbour; see `Predictor.cross_patch`."""
        with self._as_written():
            heat = self._module.cross_patch(
                self._batch(patch_hu),
                self._batch(mask.astype(np.float32)),
                self._batch(neighbour_hu),
            )
        return to_numpy(heat[0])

    @contextmanager
    def _as_written(self) -> Iterator[None]:
        """Run the scripted model as it stands, and a float32 one in float32.

        Otherwise TorchScript watches the first two calls and compiles at each: 0.9 s on one core
        for the bundled model, whose later calls are no faster for it.
        """
        optimised = torch.jit.optimized_execution  # type: ignore[attr-defined]
        exact = exact_float32() if self._exact_on_card else nullcontext()
        with torch.inference_mode(), optimised(False), exact:
            yield

    def _batch(self, array: NDArray[np.float32]) -> Tensor:
        """One item; on a processor the same one twice, which is 1.5 to 2 times faster.

        At batch 1 PyTorch convolves small volumes without oneDNN, see `rows.convolve_rows`.
        """
        item = self._typed(array)[None]
        return torch.cat([item, item]) if self._device.type == "cpu" else item

    def _typed(self, array: NDArray[np.float32]) -> Tensor:
        return self._tensor(array).to(self._dtype)

    def _tensor(self, array: NDArray[np.float32]) -> Tensor:
        return to_tensor(array).to(self._device)


def to_tensor(array: NDArray[np.float32]) -> Tensor:
    """Copy a float32 array into a tensor through the buffer protocol.

    torch 2.2, the newest for Intel macOS, was built against NumPy 1; with NumPy 2 its
    ``from_numpy`` fails, the buffer protocol does not.

    Examples
    --------
    >>> to_tensor(np.ones((2, 0, 3), np.float32)).shape
    torch.Size([2, 0, 3])
    """
    array = np.ascontiguousarray(array, np.float32)
    if array.size == 0:
        return torch.zeros(array.shape)
    return torch.frombuffer(bytearray(array.tobytes()), dtype=torch.float32).view(array.shape)


def to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    """Copy a tensor into a float32 array without ``Tensor.numpy``, see `to_tensor`.

    Examples
    --------
    >>> to_numpy(torch.tensor([[1.0, 2.0]]))
    array([[1., 2.]], dtype=float32)
    """
    tensor = tensor.detach().to("cpu", torch.float32).contiguous()
    out = np.empty(tuple(tensor.shape), np.float32)
    if out.size:
        # A tensor over the array's own memory: the copy lands in the array.
        torch.frombuffer(out.data.cast("B"), dtype=torch.float32).view(tensor.shape).copy_(tensor)
    return out


def load_predictor(
    model: str | Path | None = None, device: str = "auto", precision: str = "float32"
) -> FallbackPredictor:
    """Find, verify and load a model that goes on elsewhere when a graphics card fails it.

    Parameters
    ----------
    model : str, Path or None
        Id, path of a bundle, or None for the default model.
    device : str
        See `resolve_device`.
    precision : str
        ``float32`` or ``bfloat16``, see `check_precision`; what is fallen back on is float32.

    Returns
    -------
    FallbackPredictor
        Ready to use.

    Raises
    ------
    BundleError
        When the model is unknown, missing, altered or no bundle.
    DeviceError
        When the device cannot be used.
    NotEnoughMemoryError
        When the main memory does not suffice.
    """
    entry: Any = resolve_model(model)
    stages = stages_from(str(resolve_device(device)))

    def load(stage: Stage) -> TorchPredictor:
        wanted = precision if stage == stages[0] else "float32"
        return TorchPredictor(entry.path, stage.device, half=stage.half, precision=wanted)

    return FallbackPredictor(stages, load)
