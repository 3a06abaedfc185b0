"""What both trainings share: data drawn in processes beside them, a schedule over time, checkpoints that carry it on,
and averaged weights."""

import copy
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


def worker_rng(seed: tuple[int, ...]) -> np.random.Generator:
    """A generator that no other process of this training's loader has."""
    worker = get_worker_info()
    return np.random.default_rng((*seed, worker.id if worker else 0))


def loader(batches: IterableDataset, workers: int) -> DataLoader:
    """Whole batches as `batches` yields them, drawn in as many processes, or in this one."""
    return DataLoader(batches, batch_size=None, num_workers=workers, pin_memory=torch.cuda.is_available())


def half(device: torch.device) -> torch.autocast:
    """Numbers of half the size where they are sooner computed: on GPUs. PyTorch's convolutions in bfloat16 took a CPU with
    instructions for it, but without tiles, 1.6 times as long as float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def optimiser_of(net: torch.nn.Module, peak: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.02)


def rate(progress: float, peak: float, warm: float = 0.04) -> float:
    """One cycle: up to `peak` over the first `warm` of the time, then down along a cosine to nearly nothing."""
    if progress < warm:
        return peak * (0.04 + 0.96 * progress / warm)
    return peak * (0.004 + 0.996 * (1 + math.cos(math.pi * min(1.0, (progress - warm) / (1 - warm)))) / 2)


class Average:
    """Exponential moving average of a network's weights and statistics; `net` is ready for evaluation."""

    def __init__(self, net: torch.nn.Module, horizon: int = 500):
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.horizon = horizon

    @torch.no_grad()
    def update(self, net: torch.nn.Module, steps: int):
        weight = max(1 / self.horizon, 1 / (steps / 5 + 1))
        mine, theirs = list(self.net.state_dict().values()), list(net.state_dict().values())
        floats = [(a, b) for a, b in zip(mine, theirs) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], weight)


class Run:
    """A training's clock and its checkpoint. The clock runs on over resumptions; waiting for data does not count.

    Without a checkpoint it begins with the weights that `net` has.
    """

    def __init__(self, path: Path, minutes: float, net, optimiser, average: Average, save_every: float = 180.0):
        self.path, self.seconds, self.save_every = Path(path), minutes * 60, save_every
        self.net, self.optimiser, self.average = net, optimiser, average
        self.elapsed, self.steps, self.saved = 0.0, 0, time.monotonic()
        self.mark = time.monotonic()
        if self.path.exists():
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            net.load_state_dict(state["net"])
            average.net.load_state_dict(state["average"])
            optimiser.load_state_dict(state["optimiser"])
            self.elapsed, self.steps = state["elapsed"], state["steps"]

    def progress(self) -> float:
        return min(1.0, self.elapsed / self.seconds)

    def over(self) -> bool:
        return self.elapsed >= self.seconds

    def wait(self, seconds: float):
        time.sleep(seconds)
        self.mark = time.monotonic()

    def step_done(self):
        now = time.monotonic()
        self.elapsed, self.mark = self.elapsed + now - self.mark, now
        self.steps += 1
        if now - self.saved > self.save_every:
            self.save()

    def fit(self, batches, peak: float, loss_of, validate, validate_every: float):
        """Trains until it is over: `loss_of(batch)` is what to lessen, and what `validate()` gives is printed every so
        many minutes."""
        recent, validated = [], self.elapsed
        for batch in batches:
            if self.over():
                break
            for group in self.optimiser.param_groups:
                group["lr"] = rate(self.progress(), peak)
            self.net.train()
            loss = loss_of(batch)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)
            self.optimiser.step()
            self.step_done()
            self.average.update(self.net, self.steps)
            # Kept where it is: to fetch it at each step would hold up a GPU.
            recent.append(loss.detach())
            if self.steps % 100 == 0:
                mean, recent = torch.stack(recent).mean().item(), []
                print(f"{self.elapsed / 60:6.1f} min, step {self.steps}, loss {mean:.4f}", flush=True)
                if not math.isfinite(mean):
                    raise RuntimeError("the loss is no number any more: lower PEAK_RATE")
            if self.elapsed - validated > 60 * validate_every:
                validated = self.elapsed
                print("validation", validate(), flush=True)
        self.save()

    def save(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "net": self.net.state_dict(),
            "average": self.average.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "elapsed": self.elapsed,
            "steps": self.steps,
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.path)
        self.saved = time.monotonic()
