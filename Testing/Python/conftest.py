"""Networks that are alike are scripted once in a process: that takes a second each time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from copy import deepcopy
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import nn

PLAIN = (bool, int, float, str, tuple, list)


def _likeness(model: nn.Module) -> tuple[object, ...]:
    """Return all that scripting sees of a model: classes, plain values, shapes; no weights."""
    modules = tuple(
        (name, type(module), str({k: v for k, v in vars(module).items() if isinstance(v, PLAIN)}))
        for name, module in model.named_modules()
    )
    return modules, tuple((k, v.shape, v.dtype) for k, v in model.state_dict().items())


class _Torch(ModuleType):
    """PyTorch as the export sees it; `jit.script` remembers."""

    def __init__(self, torch: Any) -> None:
        super().__init__("torch")
        self.torch, self.jit, self.known = torch, self, {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.torch.jit, name)  # the export asks for functions of `torch.jit` only

    def script(self, model: nn.Module) -> Any:
        """Return a scripted copy of a model, with its weights, until the next one like it."""
        likeness = _likeness(model)
        if likeness not in self.known:
            self.known[likeness] = self.torch.jit.script(deepcopy(model))
        self.known[likeness].load_state_dict(model.state_dict())
        return self.known[likeness]


@pytest.fixture(scope="session", autouse=True)
def _scripted_once() -> Iterator[None]:
    if "torch" not in sys.modules:
        yield
        return
    from CTSAM3DLib.bundles import export

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "torch", _Torch(export.torch))
        yield
