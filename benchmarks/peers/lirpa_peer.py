"""auto-LiRPA's side of the bounds benchmark: a process that speaks JSON lines, run by its own interpreter.

    {"hello": true}                                              -> {"version": "0.3"}
    {"load": "case.npz", "form": "folded", "dtype": "float32", "method": "CROWN"}   -> {"ready": true}
    {"time": true}                                               -> {"seconds": 0.012}
    {"bounds": "out.npz"}                                        -> {"written": "out.npz"}

A case (see `benchmarks/bounds_case.py`) is a network, a list of items (image, place, box of the patch) and for
each item the violation rows. auto-LiRPA bounds the rows from above by CROWN, in one of three forms:

    box      the variables are all pixels; those off the patch have a box of width zero
    stamp    the variables are the patch's pixels; a linear layer puts them into the picture
    folded   the same, with that linear layer multiplied into the network's first layer by hand
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from verifluxa.bounds import lirpa_adaptations

lirpa_adaptations.before_import()
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm  # noqa: E402

lirpa_adaptations.after_import(BoundedModule)

BATCH = 256
OPTIONS = {"conv_mode": "matrix", "sparse_features_alpha": False, "sparse_spec_alpha": False}
"""Sparse slopes of 0.3 fail on batches of boxes; they matter for CROWN-Optimized alone."""
BENDS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
LEAST_SECONDS = 0.2
"""As on the other side, see `benchmarks/bounds_case.py`."""


def network(case: dict[str, Any]) -> nn.Sequential:
    """The layers of the case as torch modules."""
    built: list[nn.Module] = []
    for layer in json.loads(str(case["layers"])):
        if layer["kind"] in BENDS:
            built.append(BENDS[layer["kind"]]())
        elif layer["kind"] == "flatten":
            built.append(nn.Flatten())
        elif layer["kind"] == "maxpool":
            built.append(nn.MaxPool2d(tuple(layer["window"])))
        elif layer["kind"] == "affine":
            built.append(_filled(nn.Linear(*reversed(case[layer["weight"]].shape)), case, layer))
        else:
            weight = case[layer["weight"]]
            conv = nn.Conv2d(
                weight.shape[1], weight.shape[0], weight.shape[2:], tuple(layer["stride"]), tuple(layer["pad"])
            )
            built.append(_filled(conv, case, layer))
    return nn.Sequential(*built)


def _filled(module: Any, case: dict[str, Any], layer: dict[str, str]) -> Any:
    module.weight.data = torch.as_tensor(case[layer["weight"]]).to(module.weight.dtype)
    module.bias.data = torch.as_tensor(case[layer["bias"]]).to(module.weight.dtype)
    return module


class Stamped(nn.Module):
    """`rest(reshape(linear(tau) + base))`: base is what the first part gives for an empty patch."""

    def __init__(self, weight: Tensor, shape: tuple[int, ...], rest: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        self.linear.weight.data = weight
        self.shape = shape
        self.rest = rest

    def forward(self, tau: Tensor, base: Tensor) -> Tensor:
        output: Tensor = self.rest((self.linear(tau) + base).view(-1, *self.shape))
        return output


class Batch:
    """One call of auto-LiRPA: a traced module, its inputs and its rows."""

    def __init__(self, module: nn.Module, variables: tuple[Tensor, Tensor], fixed: tuple[Tensor, ...], rows: Tensor):
        lower, upper = variables
        box = BoundedTensor(lower, PerturbationLpNorm(x_L=lower, x_U=upper))
        self.inputs = (box, *fixed)
        self.rows = rows
        # The patches form of convolutions cannot start from a bare sum, and is the slower one on a CPU.
        self.module = BoundedModule(module, (lower, *fixed), bound_opts=OPTIONS)

    def upper(self, method: str) -> Tensor:
        """Upper bounds of the rows, shape (items, rows)."""
        with torch.set_grad_enabled(method != "CROWN"):
            bounds = self.module.compute_bounds(x=self.inputs, C=self.rows, method=method, bound_lower=False)
        upper: Tensor = bounds[1].detach()
        return upper


def batches(case: dict[str, Any], form: str) -> list[Batch]:
    """Cuts the items of a case into calls: mixed places only where the form allows it."""
    net = network(case).eval()
    places = case["place"]
    if form == "box":
        groups = [np.arange(len(places))]
    else:
        groups = [np.flatnonzero(places == place) for place in np.unique(places)]
    cut = [group[start : start + BATCH] for group in groups for start in range(0, len(group), BATCH)]
    return [_batch(case, net, form, items) for items in cut]


def _batch(case: dict[str, Any], net: nn.Sequential, form: str, items: np.ndarray) -> Batch:
    shape = case["images"].shape[1:]
    pictures = torch.as_tensor(case["images"][case["image"][items]]).to(torch.get_default_dtype())
    flat = pictures.flatten(1)
    lower, upper, rows = (
        torch.as_tensor(case[name][items]).to(flat.dtype) for name in ("lower", "upper", "coefficients")
    )
    positions = torch.as_tensor(case["positions"][case["place"][items]])
    if form == "box":
        low, high = (flat.scatter(1, positions, end).view(-1, *shape) for end in (lower, upper))
        return Batch(net, (low, high), (), rows)
    stamp = torch.zeros(flat.shape[1], positions.shape[1])
    stamp[positions[0], torch.arange(positions.shape[1])] = 1
    base = flat.scatter(1, positions, torch.zeros_like(lower))
    if form == "stamp":
        return Batch(Stamped(stamp, tuple(shape), net), (lower, upper), (base,), rows)
    first = 1 + next(i for i, layer in enumerate(net) if isinstance(layer, nn.Linear | nn.Conv2d))
    head, rest = net[:first], net[first:]
    with torch.no_grad():
        at_zero, at_ones = head(torch.zeros(1, *shape)), head(stamp.T.reshape(-1, *shape))
        weight = (at_ones - at_zero).flatten(1).T
        offset = head(base.view(-1, *shape)).flatten(1)
    return Batch(Stamped(weight, tuple(at_zero.shape[1:]), rest), (lower, upper), (offset,), rows)


class Peer:
    """Answers one request after the other; holds the loaded calls."""

    def __init__(self) -> None:
        self.calls: list[Batch] = []
        self.method = "CROWN"

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request."""
        if "hello" in request:
            return {"version": version("auto-LiRPA")}
        if "load" in request:
            torch.set_default_dtype(getattr(torch, request["dtype"]))
            self.method = request["method"]
            with np.load(request["load"]) as file:
                self.calls = batches(dict(file), request["form"])
            return {"ready": True}
        if "time" in request:
            return {"seconds": self._seconds()}
        upper = torch.cat([call.upper(self.method) for call in self.calls]).double().numpy()
        np.savez(request["bounds"], upper=upper)
        return {"written": request["bounds"]}

    def _seconds(self) -> float:
        """CPU seconds of one pass over all calls: passes until they are long enough to be timed."""
        started, passes = time.process_time(), 0
        while not passes or time.process_time() - started < LEAST_SECONDS:
            for call in self.calls:
                call.upper(self.method)
            passes += 1
        return (time.process_time() - started) / passes


def main() -> None:
    """Reads requests from stdin until its end; answers on the real stdout, all other output goes to stderr."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = Peer()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = peer.answer(request)
        except Exception as error:  # noqa: BLE001 - told to the other side, which records it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
