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

from CTSAM3DLib.bundles.adapters import ADAPTERS_FILE, adapted, check_fit, from_bytes
from CTSAM3DLib.bundles.fallback import FallbackPredictor, stages_from
from CTSAM3DLib.bundles.script_code import check_script
from CTSAM3DLib.errors import BundleError, DeviceError
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.models.store import resolve_model
from CTSAM3DLib.network.fast.rows import arrange_weights

SETTINGS_FILE = "settings.json"


def resolve_device(device: str = "auto") -> torch.device:
    """Turn a device name into a device that can be used.

    ``auto`` (CUDA where there is one, else CPU), ``cpu``, ``cuda`` or ``cuda:N``. Raises
    DeviceError when the name is unknown or the device is not there.

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
    name, _, number = str(device).partition(":")
    if name not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise DeviceError(f"expected device auto, cpu, cuda or cuda:N, got {device!r}")
    if name == "cuda":
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= there:
            raise DeviceError(
                f"device {device!r} is not available ({there} CUDA devices): choose auto or cpu"
            )
    return torch.device(device)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Let a GPU multiply float32 as float32 while a block runs.

    PyTorch lets cuDNN round factors to the 11 digits of TF32 unless it is told otherwise. The
    settings of the process are put back as they were.
    """
    backends: Any = torch.backends
    newer = hasattr(backends.cuda.matmul, "fp32_precision")  # since PyTorch 2.9
    name, exact = ("fp32_precision", "ieee") if newer else ("allow_tf32", False)
    holders = (backends.cudnn.conv if newer else backends.cudnn, backends.cuda.matmul)
    before = [getattr(holder, name) for holder in holders]
    try:
        for holder in holders:
            setattr(holder, name, exact)
        yield
    finally:
        for holder, value in zip(holders, before, strict=True):
            setattr(holder, name, value)


class TorchPredictor:
    """Run a TorchScript bundle of `write_bundle` on a device, see `resolve_device`.

    The checksum of the file is verified by the model store, not here. Raises BundleError when the
    file is no bundle of this project, or could do more than compute; DeviceError when the device
    cannot be used.
    """

    def __init__(self, path: Path, device: str = "auto") -> None:
        self._device = resolve_device(device)
        check_script(path)
        extra: dict[str, Any] = {SETTINGS_FILE: "", ADAPTERS_FILE: b""}
        try:
            module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
        except MemoryError:
            raise
        except Exception as error:  # a file may be damaged, or made, in any way
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise BundleError(f"{path} is not a readable TorchScript bundle: {reason}") from error
        if not extra[SETTINGS_FILE]:
            raise BundleError(
                f"{path} is TorchScript but no bundle of CT-SAM3D: it holds no {SETTINGS_FILE}"
            )
        try:
            settings = json.loads(extra[SETTINGS_FILE])
        except (ValueError, RecursionError) as error:
            raise BundleError(
                f"{path} is damaged: its {SETTINGS_FILE} is no JSON ({error})"
            ) from error
        self.settings = ModelSettings.from_dict(settings)
        self.adapters = from_bytes(extra[ADAPTERS_FILE], path)
        check_fit(self.adapters, module, path)
        missing = set(self.settings.adapters.values()) - set(self.adapters)
        if missing:
            raise BundleError(f"{path} is damaged: it lacks its adapters {sorted(missing)}")
        self.module = self._arranged(module.to(torch.float32).eval().to(self._device))
        self._adapted: dict[str, Any] = {"": self.module}  # the others when first asked for

    @property
    def device(self) -> str:
        """Device in use, such as ``cpu`` or ``cuda:0``."""
        return str(self._device)

    def encode(self, patch_hu: NDArray[np.float32]) -> list[Tensor]:
        """Embed a (D, H, W) patch of HU; see `Predictor.encode`."""
        embedding: list[Tensor]
        with self._as_written():
            embedding = self.module.encode(self._tensor(patch_hu))
        return embedding

    def decode(
        self,
        embedding: list[Tensor],
        points_kji: NDArray[np.float32],
        labels: NDArray[np.int64],
        previous_logits: NDArray[np.float32] | None,
        adapter: str = "",
    ) -> NDArray[np.float32]:
        """Decode clicks into (D, H, W) logits; see `Predictor.decode`."""
        if adapter not in self._adapted:
            self._adapted[adapter] = self._arranged(adapted(self.module, self.adapters[adapter]))
        previous = None if previous_logits is None else self._tensor(previous_logits)
        with self._as_written():
            logits = self._adapted[adapter].decode(
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
            heat = self.module.cross_patch(
                self._batch(patch_hu),
                self._batch(mask.astype(np.float32)),
                self._batch(neighbour_hu),
            )
        return to_numpy(heat[0])

    def _arranged(self, module: Any) -> Any:
        """Return a module ready to run; rows are convolved on a processor only."""
        return arrange_weights(module) if self._device.type == "cpu" else module

    @contextmanager
    def _as_written(self) -> Iterator[None]:
        """Run the scripted model as it stands, and a float32 one in float32.

        Otherwise TorchScript watches the first two calls and compiles at each: 0.9 s on one core
        for the bundled model, whose later calls are no faster for it.
        """
        optimised = torch.jit.optimized_execution  # type: ignore[attr-defined]
        exact = nullcontext() if self._device.type == "cpu" else exact_float32()
        with torch.inference_mode(), optimised(False), exact:
            yield

    def _batch(self, array: NDArray[np.float32]) -> Tensor:
        """One item; on a processor twice: 1.5 to 2 times faster, see `rows.convolve_rows`."""
        item = self._tensor(array)[None]
        return torch.cat([item, item]) if self._device.type == "cpu" else item

    def _tensor(self, array: NDArray[np.float32]) -> Tensor:
        return to_tensor(array).to(self._device)


def to_tensor(array: NDArray[np.float32]) -> Tensor:
    """Copy a float32 array into a tensor through the buffer protocol.

    torch 2.2, the newest for Intel macOS, was built against NumPy 1; with NumPy 2 its
    ``from_numpy`` fails, the buffer protocol does not.
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


def load_predictor(model: str | Path | None = None, device: str = "auto") -> FallbackPredictor:
    """Find, verify and load a model that continues on the processor when its GPU fails.

    `model` is an id, the path of a bundle, or None for the default model; `device` see
    `resolve_device`. Raises BundleError: the model is unknown, missing, altered or no bundle;
    DeviceError: the device cannot be used; NotEnoughMemoryError: the main memory does not suffice.
    """
    path = resolve_model(model).path
    stages = stages_from(str(resolve_device(device)))
    return FallbackPredictor(stages, lambda stage: TorchPredictor(path, stage))
