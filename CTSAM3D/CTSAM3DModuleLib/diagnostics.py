"""What a person who helps must know, as text to copy: no names of patients, nodes or files."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import slicer

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.models.store import ModelStore, resolve_model
from CTSAM3DLib.mrml.frames import geometry_from_node
from CTSAM3DLib.version import __version__
from CTSAM3DModuleLib.torch_setup import TorchState

PATH = "<path>"
NAME = "<name>"
NONE = "none"

# A path goes on to the end of its line, quote or clause: folders may have blanks and commas, and it
# is better to lose a word than to tell a name.
_ROOTED = re.compile(
    r"""(?<![\w.<])(?:[A-Za-z]:[\\/]|\\\\|~[\w.-]*[\\/]|[\\/](?=[\w.~-]))[^"'\n:;<>|]*"""
)
_RELATIVE = re.compile(r"(?:[\w.-]+[\\/])+[\w.-]*\.[A-Za-z]\w{0,5}\b")
_IMAGE_FILE = re.compile(
    r"[\w.-]+\.(?:nii|nrrd|nhdr|mha|mhd|dcm|mrb|mrml|json|fcsv|h5|tfm|stl|obj|vtk|vtp|ply|pt|pth)"
    r"(?:\.gz)?\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"""(?<!\w)(?<!No module named )(?:"[^"\n]*"|'[^'\n]*')""")
_SHORTEST_NAME = 3  # shorter ones, such as CT, are in every text


def diagnostics_text(
    torch_state: TorchState,
    *,
    model: str | Path | None = None,
    store: ModelStore | None = None,
    device: str = "",
    latencies_ms: Sequence[float] = (),
    volume_node: slicer.vtkMRMLScalarVolumeNode | None = None,
    last_error: BaseException | str | None = None,
    private_names: Iterable[str] = (),
) -> str:
    """Return what to send with a question or an error report: lines of ``name: value``, in English.

    `torch_state` is that of `TorchSetup.state`; `model` the id or file of the model (default: the
    bundled one) and `store` where models are; `device` where the last click was computed, such as
    ``cuda:0``, empty before the first; `latencies_ms` the times of the last clicks, oldest first.
    Of the voxels of the volume only type, number, spacing and handedness are told. From the last
    error, paths, quoted names and `private_names` are taken out, for example the names of all
    nodes.
    """
    names = [*private_names, volume_node.GetName() if volume_node is not None else ""]
    times = ", ".join(f"{value:.0f}" for value in latencies_ms)
    torch_devices = ", ".join(item.label for item in torch_state.devices)
    facts = {
        "CT-SAM3D": __version__,
        "Slicer": _slicer_version(),
        "System": platform.platform(),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "PyTorch": f"{torch_state.kind.value}, version {torch_state.version or 'unknown'}",
        "Devices": torch_devices or NONE,
        "Model": _model(model, store, names),
        "Device in use": device or NONE,
        "Last clicks (ms)": times or NONE,
        "Volume": _volume(volume_node),
        "Last error": _error(last_error, names),
    }
    return "".join(f"{name}: {value}\n" for name, value in facts.items())


def without_private(text: str, names: Iterable[str] = ()) -> str:
    """Return a text without paths, names of image files, quoted names and the given names.

    Names of Python files stay, without their folders, since they tell where an error arose. Given
    names of fewer than three letters are not looked for.
    """
    for name in sorted(names, key=len, reverse=True):
        if len(name) >= _SHORTEST_NAME:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", NAME, text)
    text = _ROOTED.sub(_without_folders, text)
    text = _RELATIVE.sub(_without_folders, text)
    text = _IMAGE_FILE.sub(PATH, text)
    return _QUOTED.sub(_without_quoted, text)


def _without_folders(match: re.Match[str]) -> str:
    last = re.split(r"[\\/]", match.group())[-1]
    return last if re.fullmatch(r"\w+\.py", last) else PATH


def _without_quoted(match: re.Match[str]) -> str:
    content = match.group()[1:-1]
    known = content in (PATH, NAME, "") or re.fullmatch(r"\w+\.py", content)
    return match.group() if known else NAME


def _slicer_version() -> str:
    version = slicer.app.applicationVersion
    version = version or f"{slicer.app.majorVersion}.{slicer.app.minorVersion}"
    return f"{version}, revision {slicer.app.revision}"


def _model(model: str | Path | None, store: ModelStore | None, names: Sequence[str]) -> str:
    try:
        entry = resolve_model(model, store)
    except (CTSAM3DError, OSError) as error:
        return f"not usable: {without_private(str(error), names)}"
    return f"{entry.model_id}, checksum right, SHA-256 {entry.sha256[:12]}"


def _volume(node: slicer.vtkMRMLScalarVolumeNode | None) -> str:
    if node is None:
        return NONE
    parent = node.GetParentTransformNode()
    transform = "no parent transform"
    if parent is not None:
        linear = parent.IsTransformToWorldLinear()
        transform = f"{'linear' if linear else 'non-linear'} parent transform"
    try:
        geometry = geometry_from_node(node)
    except CTSAM3DError as error:  # its text may name the node
        return f"not usable ({type(error).__name__}), {transform}"
    return ", ".join(
        (
            " x ".join(str(size) for size in geometry.size_ijk) + " voxels",
            node.GetImageData().GetScalarTypeAsString(),
            " x ".join(f"{value:.3f}" for value in geometry.spacing_mm) + " mm",
            "left-handed" if geometry.is_left_handed else "right-handed",
            transform,
        )
    )


def _error(error: BaseException | str | None, names: Sequence[str]) -> str:
    if error is None:
        return NONE
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return without_private(text.strip(), names) or NONE
