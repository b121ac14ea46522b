"""A function of tensors that a GPU records once and then repeats with a single launch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Function = Callable[..., Tensor]


class Recorded:
    """Calls a function; on a GPU it becomes one CUDA graph for each set of shapes.

    `function` gets tensors and returns one. It may change what it holds (weights, say) in place,
    must not read anything back from the GPU, and must draw no random numbers. The first call with
    new shapes runs it as it is, the second records it, further ones repeat the record. Each call
    counts once. Where `recording` is off, every call runs it as it is.
    """

    def __init__(self, function: Function, *, recording: bool) -> None:
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
