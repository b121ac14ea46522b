"""TorchScript made once in a process: scripting a network takes a second, loading one a half."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import nn

PLAIN = (bool, int, float, str, tuple, list)


def script_once(script: Callable[..., Any]) -> Callable[..., Any]:
    """Return `torch.jit.script` that scripts promptable models which are alike once.

    What it gives has the weights of its model until the next one like it is scripted.
    """
    from CTSAM3DLib.network.model import PromptableModel

    known: dict[tuple[object, ...], Any] = {}

    def scripted(model: Any, *rest: Any, **named: Any) -> Any:
        if not isinstance(model, PromptableModel):
            return script(model, *rest, **named)
        likeness = _likeness(model)
        if likeness not in known:
            known[likeness] = script(deepcopy(model))
        known[likeness].load_state_dict(model.state_dict())
        return known[likeness]

    return scripted


def _likeness(model: nn.Module) -> tuple[object, ...]:
    """Return all that scripting sees of a model: classes, plain values, shapes; no weights."""
    modules = tuple(
        (name, type(module), str({k: v for k, v in vars(module).items() if isinstance(v, PLAIN)}))
        for name, module in model.named_modules()
    )
    return modules, tuple((k, v.shape, v.dtype) for k, v in model.state_dict().items())


def load_once(load: Callable[..., Any]) -> Callable[..., Any]:
    """Return `torch.jit.load` that gives copies of what was loaded from the same bytes before."""
    known: dict[tuple[object, ...], tuple[Any, dict[str, Any]]] = {}

    def loaded(file: Any, map_location: Any = None, _extra_files: Any = None) -> Any:
        if not isinstance(file, str) or not Path(file).is_file():
            return load(file, map_location, _extra_files)
        wanted = _extra_files or {}
        digest = sha256(Path(file).read_bytes()).hexdigest()
        key = (digest, str(map_location), *wanted)
        if key not in known:
            module = load(file, map_location, _extra_files)
            known[key] = module, dict(wanted)
        module, extra = known[key]
        wanted.update(extra)
        with torch.no_grad():
            copy = deepcopy(module)
        for made, one in zip(copy.parameters(), module.parameters(), strict=True):
            made.requires_grad_(one.requires_grad)
        return copy

    return loaded
