"""One iteration of the training: losses, gradients, optimisers, without reading anything back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from CTSAM3DLib.network.segmenters import Segmenter
from CTSAM3DLib.training.batches import Samples
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.episodes import Episode, run_episode
from CTSAM3DLib.training.optimiser import Muon, split_parameters


class Iteration:
    """Optimises a network that lies on its device already.

    `record` makes a CUDA graph of it, see `Recorded`. On a GPU, weights and maps have their
    channels last.
    """

    def __init__(self, net: Segmenter, config: TrainConfig, *, record: bool = False) -> None:
        self.net, self.config = net, config
        device = next(net.parameters()).device
        self._layout = torch.contiguous_format
        if device.type == "cuda":
            self._layout = torch.channels_last_3d
            net.to(memory_format=self._layout)  # type: ignore[call-overload]
        if config.compiled:
            for name in ("encode", "decode"):
                vars(net)[name] = torch.compile(getattr(net, name), dynamic=False)
        kernels, rest = split_parameters(net)
        self.optimisers: list[torch.optim.Optimizer] = []
        if config.muon:
            self.optimisers.append(Muon(kernels, config.muon_rate))
        else:
            rest = kernels + rest
        self._on_card = device.type == "cuda"
        self.optimisers.append(
            torch.optim.AdamW(
                rest, config.learning_rate, weight_decay=0.01, capturable=self._on_card
            )
        )
        self.peak_rates = [float(o.param_groups[0]["lr"]) for o in self.optimisers]
        # Rates are tensors, so that a record reads what they are now.
        self._rates = [torch.zeros((), device=device) for _ in self.optimisers]
        self._set_groups()
        self._run = Recorded(self._optimised, recording=record)

    def __call__(self, samples: Samples, jitter: Tensor, share: float) -> Tensor:
        """Optimise on a batch at a share of the peak rates.

        `jitter` is that of `run_episode`. Returns the loss and the mean Dice after the first and
        the last decode: (3,), still on the device. Gradients that are not finite change nothing but
        the momenta, which decay.
        """
        for rate, peak in zip(self._rates, self.peak_rates, strict=True):
            rate.fill_(peak * share)
        return self._run(*samples.values(), jitter)

    def load(self, states: list[dict[str, object]]) -> None:
        """Read the states of the optimisers, from whichever device they come."""
        for optimiser, state in zip(self.optimisers, states, strict=True):
            optimiser.load_state_dict(state)
        self._set_groups()

    def _set_groups(self) -> None:
        for optimiser, rate in zip(self.optimisers, self._rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate
                if isinstance(optimiser, torch.optim.AdamW):
                    group["capturable"] = self._on_card
            for state in optimiser.state.values():
                if "step" in state:
                    state["step"] = state["step"].to(rate.device if self._on_card else "cpu")

    def _optimised(self, *tensors: Tensor) -> Tensor:
        """Do all that a record holds."""
        *values, jitter = tensors
        episode = Episode.of(Samples(*values), self.config)
        episode.image = episode.image.contiguous(memory_format=self._layout)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss, scores = run_episode(self.net, episode, jitter)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip)
        sound = torch.isfinite(norm)
        for parameter in self.net.parameters():
            if parameter.grad is not None:
                parameter.grad = torch.where(sound, parameter.grad, 0.0)
        for optimiser, rate in zip(self.optimisers, self._rates, strict=True):
            rate.mul_(sound)
            optimiser.step()
        return torch.stack([loss.detach(), scores[0], scores[-1]])


class Recorded:
    """Calls a function; on a GPU it becomes one CUDA graph for each set of shapes.

    `function` gets tensors and returns one. It may change what it holds (weights, say) in place,
    must not read anything back from the GPU, and must draw no random numbers. The first call with
    new shapes runs it as it is, the second records it, further ones repeat the record. Each call
    counts once. Where `recording` is off, every call runs it as it is.
    """

    def __init__(self, function: Callable[..., Tensor], *, recording: bool) -> None:
        self._function, self._recording = function, recording
        self._inputs: dict[tuple[torch.Size, ...], list[Tensor]] = {}
        self._graphs: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        if recording:
            self._stream = torch.cuda.Stream()
            self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Call the function; the answer is the caller's own."""
        if not self._recording:
            return self._function(*tensors)
        key = tuple(t.shape for t in tensors)
        if key not in self._inputs:
            # A record reads its inputs where they were when it was made.
            self._inputs[key] = [t.clone() for t in tensors]
            # On the stream of the records, so that memory and choices of kernels are theirs.
            here = torch.cuda.current_stream()
            self._stream.wait_stream(here)
            with torch.cuda.stream(self._stream):
                answer = self._function(*self._inputs[key])
            here.wait_stream(self._stream)
            return answer.clone()
        for kept, new in zip(self._inputs[key], tensors, strict=True):
            kept.copy_(new)
        if key not in self._graphs:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                answer = self._function(*self._inputs[key])
            self._graphs[key] = graph, answer
        graph, answer = self._graphs[key]
        graph.replay()
        # The memory belongs to all records alike.
        return answer.clone()
