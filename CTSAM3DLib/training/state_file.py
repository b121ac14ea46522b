"""The state of a training run on disk."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from CTSAM3DLib.io.safe_write import written_atomically

NO_STATE = (OSError, RuntimeError, EOFError, LookupError, TypeError, pickle.UnpicklingError)
"""What ``torch.load``, and the use of what it has read, raise for a file that is no state."""


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state for ``torch.load``, whole or not at all, by way of memory.

    PyTorch itself does not tell that a disk is full. Raises OutputFileError.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "last.pt"
    >>> write_state(file, {"iteration": 3})
    >>> torch.load(file, weights_only=True)
    {'iteration': 3}
    """
    with written_atomically(path) as temporary:
        content = io.BytesIO()
        torch.save(dict(state), content)
        temporary.write_bytes(content.getbuffer())
