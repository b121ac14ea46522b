"""Print what a click costs: plain formulas against the fast decoders, as Markdown.

Everything runs in one process, contestants in turn, the minimum of the repeats counts. The plain
contestant is the same module with the same weights in float32, going the way of training; the fast
ones hold their weights as a loaded bundle does.

    PYTHONPATH=. .venv/bin/python Testing/Benchmarks/bench_decoder.py [--repeats 4] [--threads 2]
        [--output Testing/Benchmarks/results/decoder.md]
"""

from __future__ import annotations

import argparse
import copy
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from measuring import PeakMemory, best_ms
from torch import Tensor, nn

from CTSAM3DLib.network.fast.rows import arrange_weights
from CTSAM3DLib.network.lite import LiteConfig, LiteSegmenter
from CTSAM3DLib.network.official.segmenter import OfficialSegmenter
from CTSAM3DLib.network.official.sizes import L1, OFFICIAL_VARIANTS
from CTSAM3DLib.network.prompt_maps import render_clicks
from CTSAM3DLib.network.segmenters import ConcatSegmenter

sys.path.insert(0, str(Path(__file__).parents[1] / "Python"))
from random_weights import with_random_weights

SIZE = 64
FLOOR_GMAC = 49.5
"""Image convolutions, upscaling and one-channel head of a first click, official tiny."""
DENSE_GMAC = 125.15
CLICKS = [[33.0, 30.0, 36.0], [20.0, 30.0, 40.0], [45.0, 20.0, 20.0]]


def ball(radius: float, edge: float) -> Tensor:
    """Mask probability of a ball whose logits grow by `edge` a voxel."""
    grid = torch.arange(float(SIZE)) - 31.0
    distance = (grid.view(-1, 1, 1) ** 2 + grid.view(-1, 1) ** 2 + grid**2).sqrt()
    return torch.sigmoid((radius - distance) * edge)


def prompt_of(count: int, mask: Tensor | None, official: bool) -> Tensor:
    """Prompt (1, 3, D, H, W) of the first clicks, the last of three being negative."""
    labels = torch.tensor([1, 1, 0][:count])
    maps = render_clicks(torch.tensor(CLICKS[:count]), labels, SIZE, SIZE, SIZE, official)
    previous = torch.zeros(SIZE, SIZE, SIZE) if mask is None else mask
    return torch.cat([previous[None], maps])[None]


def cases(official: bool) -> dict[str, Tensor]:
    """Prompts by name. Edges: 100 is sharp, 4 reaches 1e-6 after 3.5 voxels."""
    return {
        "first click": prompt_of(1, None, official),
        "3 clicks": prompt_of(3, None, official),
        "click + mask r 8": prompt_of(1, ball(8, 4.0), official),
        "click + mask r 18, soft edge": prompt_of(1, ball(18, 4.0), official),
        "click + mask r 18, sharp edge": prompt_of(1, ball(18, 100.0), official),
        "click + mask r 26": prompt_of(1, ball(26, 4.0), official),
    }


def fast(network: nn.Module, embedding: list[Tensor], prompt: Tensor) -> Tensor:
    """Logits the way of inference."""
    with torch.inference_mode():
        return network.decode(embedding, prompt)


def plain(network: nn.Module, embedding: list[Tensor], prompt: Tensor) -> Tensor:
    """Logits the way of training, without recording: no weight asks for a gradient."""
    with torch.enable_grad():
        return network.decode(embedding, prompt)


def published(network: nn.Module, embedding: list[Tensor], prompt: Tensor) -> Tensor:
    """Logits the way of the published formulas: channel norms written out, two mask channels."""
    decoder = network.mask_decoder

    def upscale(layer: nn.Module, features: Tensor) -> Tensor:
        transposed, norm, gelu = layer.cna
        features = transposed(features)
        mean = features.mean(1, keepdim=True)
        variance = (features - mean).pow(2).mean(1, keepdim=True)
        features = (features - mean) / torch.sqrt(variance + 1e-6)
        scale, shift = (p[:, None, None, None] for p in (norm.weight, norm.bias))
        return gelu(scale * features + shift)

    with torch.enable_grad():
        features = embedding[3]
        for level in range(1, 6):
            features = getattr(decoder, f"spade{level}")(features, prompt)
            features = upscale(getattr(decoder, f"upscale{level}"), features)
            if level < 4:
                features = torch.cat([features, embedding[3 - level]], 1)
        head = decoder.mask_prediction_head[0]
        return nn.functional.conv3d(features, head.weight, head.bias, padding=1)[:, :1]


def largest_difference(a: Tensor, b: Tensor) -> float:
    """Largest difference of the probabilities."""
    return float((torch.sigmoid(a.float()) - torch.sigmoid(b.float())).abs().max())


def peak_gflops(dtype: torch.dtype, repeats: int) -> float:
    """Best rate of a 3³ convolution of 128 channels at 32³ or 256 at 16³, either layout."""
    rates = []
    for width, side in ((128, 32), (256, 16)):
        x = torch.randn(1, width, side, side, side, dtype=dtype)
        last = x.contiguous(memory_format=torch.channels_last_3d)
        conv = nn.Conv3d(width, width, 3, padding=1).to(dtype).requires_grad_(False)
        operations = 2e-9 * 27 * width**2 * side**3
        times = best_ms([lambda c=conv, x=x: c(x), lambda c=conv, x=last: c(x)], 2 * repeats)
        rates += [1e3 * operations / t for t in times]
    return max(rates)


def peak_above_mb(action: Callable[[], object]) -> float:
    """Peak memory during a call above what was resident before it; Linux only."""
    memory = PeakMemory()
    before = memory.reset()
    action()
    return memory.peak() - before


@dataclass
class Contest:
    """A network with random weights, the same as a bundle is loaded, and its embedded patch."""

    network: nn.Module
    loaded: nn.Module
    embedding: list[Tensor]
    official: bool

    @classmethod
    def of(cls, network: nn.Module, channels: int, official: bool) -> Contest:
        """Embed a smooth random patch."""
        network = with_random_weights(network).requires_grad_(False)
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(1, channels, SIZE, SIZE, SIZE, generator=generator)
        with torch.inference_mode():
            embedding = network.encode(nn.functional.avg_pool3d(noise, 5, 1, 2))
        loaded = arrange_weights(copy.deepcopy(network))
        return cls(network, loaded, [m.clone() for m in embedding], official)


def measure(contest: Contest, repeats: int) -> list[dict[str, float | str]]:
    """Time every case, plain and fast."""
    rows: list[dict[str, float | str]] = []
    for name, prompt in cases(contest.official).items():
        runs = [lambda p=prompt: plain(contest.network, contest.embedding, p)]
        runs += [lambda p=prompt: fast(contest.loaded, contest.embedding, p)]
        if contest.official:
            runs += [lambda p=prompt: published(contest.network, contest.embedding, p)]
        times = best_ms(runs, repeats)
        expected = runs[0]()
        row: dict[str, float | str] = {"case": name, "plain": times[0], "fast": times[1]}
        row["difference"] = largest_difference(runs[1](), expected)
        if contest.official:
            row["published"] = times[-1]
            row["published difference"] = largest_difference(runs[-1](), expected)
        rows.append(row)
    return rows


def official_contest(size: str) -> Contest:
    """Contest of an official network, or of its small relative l1."""
    sizes = {**OFFICIAL_VARIANTS, L1.name: L1}
    return Contest.of(OfficialSegmenter(sizes[size]), 1, official=True)


def alone_ms(way: str, repeats: int, size: str) -> float:
    """Time a first click of an official network in a process of its own.

    A process that has run other things holds memory back, which saves the plain way some 200 ms of
    asking the system for it; a program that does nothing else does not have that.
    """
    command = [sys.executable, __file__, "--alone", way, "--repeats", str(repeats)]
    command += ["--threads", str(torch.get_num_threads()), "--official", size]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run_alone(way: str, repeats: int, size: str) -> None:
    """Print the time that `alone_ms` reads."""
    contest = official_contest(size)
    prompt = cases(True)["first click"]
    decode, network = (fast, contest.loaded) if way == "fast" else (plain, contest.network)
    print(best_ms([lambda: decode(network, contest.embedding, prompt)], repeats)[0])


def table(title: str, rows: list[dict[str, float | str]]) -> list[str]:
    """Markdown table of a contest."""
    lines = ["", f"## {title}", "", "| case | plain, ms | fast, ms | ratio | max difference |"]
    lines += ["|---|---|---|---|---|"]
    as_published = "published" in rows[0]
    if as_published:
        lines[-2] += " as published, ms |"
        lines[-1] += "---|"
    for row in rows:
        ratio = row["plain"] / row["fast"]
        line = f"| {row['case']} | {row['plain']:.0f} | {row['fast']:.0f} | {ratio:.1f} "
        line += f"| {row['difference']:.1e} |"
        if as_published:
            line += f" {row['published']:.0f} |"
        lines.append(line)
    return lines


def bar(text: str, value: float, limit: float, *, at_least: bool) -> str:
    """Tell whether a goal is reached."""
    reached = value >= limit if at_least else value <= limit
    sign = ">=" if at_least else "<="
    return f"- {text}: {value:.2f} (goal {sign} {limit:g}, {'reached' if reached else 'missed'})"


def report(repeats: int, size: str) -> list[str]:
    """Run everything and return the lines."""
    lite = Contest.of(LiteSegmenter(LiteConfig()), 2, official=False)
    official, name = official_contest(size), f"official {size}"
    prompt = cases(True)["click + mask r 26"]
    memory = {
        "lite fast": lambda: fast(lite.loaded, lite.embedding, cases(False)["click + mask r 26"]),
        "official fast": lambda: fast(official.loaded, official.embedding, prompt),
        "official plain": lambda: plain(official.network, official.embedding, prompt),
    }
    peaks = {key: peak_above_mb(action) for key, action in memory.items()}
    rate = peak_gflops(torch.float32, repeats)
    floor = 2e3 * FLOOR_GMAC / rate
    big, small = measure(official, repeats), measure(lite, repeats)
    unet = Contest.of(ConcatSegmenter(), 2, official=False)
    first = cases(False)["first click"]
    whole, whole_fast = best_ms(
        [
            lambda: fast(unet.loaded, unet.embedding, first),
            lambda: fast(lite.loaded, lite.embedding, first),
        ],
        2 * repeats,
    )
    alone = [alone_ms(way, repeats, size) for way in ("plain", "fast")]
    later = min(row["plain"] / row["fast"] for row in big if "mask" in row["case"])
    lines = [
        f"- float32 convolutions peak at {rate:.0f} GFLOPS in this run; {FLOOR_GMAC} GMAC of a "
        f"first click of {name} take {floor:.0f} ms at that rate",
        bar(f"{name}, first click", big[0]["plain"] / big[0]["fast"], 3.0, at_least=True),
        bar(
            f"the same, each in a process of its own ({alone[0]:.0f} and {alone[1]:.0f} ms)",
            alone[0] / alone[1],
            3.0,
            at_least=True,
        ),
        bar(f"{name}, slowest click with a mask", later, 1.8, at_least=True),
        f"- against the formulas as published (channel norms written out, two mask channels; same "
        f"answer within {max(row['published difference'] for row in big):.0e}): first click "
        f"{big[0]['published'] / big[0]['fast']:.2f}, slowest click with a mask "
        f"{min(row['published'] / row['fast'] for row in big if 'mask' in row['case']):.2f}",
        bar(f"{name}, first click over its floor", big[0]["fast"] / floor, 1.5, at_least=False),
        bar(
            "lite click against the plain official one",
            big[0]["plain"] / small[0]["fast"],
            6.0,
            at_least=True,
        ),
        f"- a plain U-Net of {sum(p.numel() for p in unet.network.parameters()) / 1e6:.1f} M "
        f"parameters, run whole at each click, takes {whole:.0f} ms; the lite decoder "
        f"({sum(p.numel() for p in lite.network.parameters()) / 1e6:.1f} M with encoder) takes "
        f"{whole_fast:.0f} ms",
    ]
    if not any(math.isnan(value) for value in peaks.values()):
        shown = ", ".join(f"{key} {value:.0f} MB" for key, value in peaks.items())
        lines.append(f"- peak memory of a click above the loaded models: {shown}")
    lines += table(name.capitalize(), big) + table("Lite", small)
    return lines


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="once, with a small network: a trial")
    parser.add_argument("--official", default="tiny", help="size of the official network")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--machine", default="this machine", help="hardware in words")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--alone", choices=("plain", "fast"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    repeats, size = (1, L1.name) if arguments.quick else (arguments.repeats, arguments.official)
    if arguments.alone:
        run_alone(arguments.alone, repeats, size)
        return
    title = (
        "# Cost of a click\n\nPrinted by `Testing/Benchmarks/bench_decoder.py` on "
        f"{arguments.machine}: {arguments.threads} threads, PyTorch {torch.__version__}, "
        f"{torch.backends.cpu.get_cpu_capability()}. Random weights, 64³ patch, float32 unless "
        f"stated, minimum of {repeats} repeats taking turns. Differences are of "
        "probabilities, to the plain float32 answer.\n"
    )
    text = "\n".join([title, *report(repeats, size)]) + "\n"
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
