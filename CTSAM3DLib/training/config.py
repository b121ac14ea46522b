"""Settings of a training run: one frozen dataclass, one JSON file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from CTSAM3DLib.errors import LearningError
from CTSAM3DLib.io.text import read_settings

ANNOTATED = "annotated with this product"
"""Origin of the labels that ``train pack --annotations`` adds."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run, together with the packed data and the seed.

    Examples
    --------
    >>> TrainConfig.from_dict(TrainConfig(seed=3).to_dict()).seed
    3
    """

    patch_size: int = 48  # Edge of a cubic patch in voxels, a multiple of 16
    batch_size: int = 2  # Samples an iteration
    # Peak rate; constant after the warm-up, so that a run can be prolonged
    learning_rate: float = 1e-3
    # Orthogonalised momentum for convolution kernels, AdamW for the rest; False: AdamW for all
    muon: bool = True
    muon_rate: float = 0.003  # Rate of the orthogonalised updates
    warmup: int = 100  # Iterations of linear warm-up
    # The rates fall linearly to 0 between these iterations; 0 for none
    cooldown_start: int = 0
    cooldown_end: int = 0
    clip: float = 5.0  # Largest gradient norm
    ema: float = 0.998  # Decay of the weight average that is evaluated and bundled
    # Isotropic patch spacing is drawn log-uniformly from this range
    spacing_range_mm: tuple[float, float] = (1.5, 4.5)
    # How often a kind of target is drawn: ``human``, ``machine``, ``synthetic``, ``pseudo``,
    # ``annotated``
    source_weights: dict[str, float] = field(
        default_factory=lambda: {"human": 0.3, "machine": 0.35, "synthetic": 0.2, "pseudo": 0.15}
    )
    # Share of CT made from label maps that has the HU of its anatomies
    # (`CTSAM3DLib.training.synthesis`); the rest has random contrasts
    typical_synthesis: float = 0.0
    bend_probability: float = 0.0  # Share of patches that are bent smoothly, image and target alike
    # The strength of a bend (`CTSAM3DLib.training.sampling.random_bends`) is drawn up to this
    most_bend_voxels: float = 3.0
    # Probability of a second decode with gradient after simulated corrections
    extra_round_probability: float = 0.5
    most_silent_rounds: int = 4  # Most corrections without gradient before that second decode
    prior_probability: float = 0.12  # Share of samples that start from a partly right previous mask
    # ``psap``, or a control: see `CTSAM3DLib.network.segmenters.build_segmenter`
    architecture: str = "psap"
    prompt_resize: str = "max"  # ``max``, ``area`` or ``trilinear``
    # See `CTSAM3DLib.network.lite.LiteConfig`
    widths: tuple[int, ...] = (16, 32, 64, 128, 192)
    hidden: int = 24
    # HU windows of the image channels
    windows_hu: tuple[tuple[float, float], ...] = ((-160.0, 240.0), (-1024.0, 1400.0))
    # Let `torch.compile` write the kernels: it takes minutes at first and needs a C++ compiler
    compiled: bool = False
    seed: int = 0  # Every random draw of iteration n depends on ``(seed, n)`` alone

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> TrainConfig:
        """Build from plain values, lists becoming tuples.

        Raises TypeError when a key is not a setting.
        """
        return cls(**{key: _tuples(value) for key, value in values.items()})  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: Path) -> TrainConfig:
        """Read a JSON file of an object with settings.

        Raises LearningError: it cannot be read, a key is not a setting, or a value of another kind
        than that of the default, or a patch that cannot be halved four times.
        """
        known = cls().to_dict()
        values = read_settings(path, known, LearningError)
        for key, value in values.items():
            if _kind(value) != _kind(known[key]):
                raise LearningError(
                    f"{path}: {key!r}: expected a value like {known[key]!r}, got {value!r:.80}"
                )
        config = cls.from_dict(values)
        if config.patch_size < 16 or config.patch_size % 16:
            raise LearningError(
                f"{path}: 'patch_size': expected a multiple of 16, got {config.patch_size}"
            )
        return config


def _kind(value: object) -> type:
    """Return what a value of JSON is: whole and other numbers are one kind, and so are lists."""
    kinds: dict[type, type] = {int: float, tuple: list}
    return kinds.get(type(value), type(value))


def _tuples(value: object) -> object:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value
