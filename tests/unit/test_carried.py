from __future__ import annotations

import copy
import linecache
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from textwrap import dedent, indent
from types import CodeType, FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kladml import carried
from support import REPOSITORY, SOURCE

HEAD = """
import collections, copy, itertools, random, time
from collections import Counter, defaultdict, deque
from contextlib import nullcontext, suppress
import numpy as np, torch, torch.nn.functional as F
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm
import tqdm as bars
from rich.progress import track
STATS = {"batches": 0}
LOG = []
LR = 0.1
"""
_numbers = count()


def load(source: str, name: str = "") -> dict[str, Any]:
    """Run a module's text; its imports are not made, since only its text is looked at."""
    name = name or f"/tmp/carried_{next(_numbers)}.py"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    space = {"__name__": "user"}
    exec(compile(re.sub(r"(?m)^(import|from) .*$", "pass", source), name, "exec"), space)
    return space


def experiment(body: str, rest: str = "") -> type:
    """A class with this `train_epoch`, and other methods."""
    method = "def train_epoch(self, epoch):\n" + indent(dedent(body).strip("\n"), "    ")
    kind: type = load(f"{HEAD}\nclass E:\n{indent(method, '    ')}\n\n{indent(dedent(rest), '    ')}\n")["E"]
    return kind


def names(body: str, rest: str = "") -> list[str]:
    """What the class carries, sorted."""
    return sorted(one.name for one in carried.find(experiment(body, rest)))


def code_of(body: str, rest: str = "", method: str = "train_epoch") -> CodeType:
    code: CodeType = getattr(experiment(body, rest), method).__code__
    return code


def line_of(code: CodeType, text: str) -> int:
    """The line of a function that holds some text."""
    lines = linecache.getlines(code.co_filename)
    return next(at for at, line in enumerate(lines, 1) if at >= code.co_firstlineno and text in line)


def judge(body: str, text: str, first: str | int | None = None, rest: str = "", method: str = "train_epoch") -> list[str]:
    """The names that a verdict holds about the line with a text."""
    code = code_of(body, rest, method)
    first_line = line_of(code, first) if isinstance(first, str) else first
    return sorted(one.name for one in carried.judge(code, line_of(code, text), first_line).carried)


CLEAN = {
    "plain": """
        self.model.train()
        for x, y in self.steps(self.data):
            x, y = x.to(self.device), y.to(self.device)
            loss = cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.mean("loss", loss)
    """,
    "loss returned": """
        for x, y in self.steps(self.data):
            loss = self.loss(self.model(x), y)
        return {"loss": loss, "last": x}
    """,
    "aliases": """
        model, optimizer = self.model, self.optimizer
        data = self.parts["train"].loader
        criterion = nn.CrossEntropyLoss(weight=self.weights).to(self.device)
        step = self.step_once
        net = self.ddp.module if self.ddp else self.model
        d = self.device
        for x, y in self.steps(data):
            optimizer.zero_grad()
            loss = criterion(model(x.to(d)), y)
            net.train()
            step(loss, criterion)
            optimizer.step()
    """,
    "aliases by methods": """
        model = self.model.to(self.device).train()
        for x in self.steps(self.data):
            model.zero_grad()
            model(x).backward()
    """,
    "gradient accumulation": """
        for x, y in self.steps(self.data):
            loss = F.cross_entropy(self.model(x), y) / 4
            loss.backward()
            if self.step % 4 == 0:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
                self.optimizer.zero_grad()
    """,
    "amp": """
        for x, y in self.steps(self.data):
            with torch.autocast("cuda", dtype=torch.float16):
                out = self.model(x)
                loss = cross_entropy(out, y)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
    """,
    "gan in one loop": """
        real, fake = self.real, self.fake
        for x, _ in self.steps(self.data):
            z = torch.randn(len(x), 100, device=self.device)
            with torch.no_grad():
                made = self.generator(z)
            loss_d = F.relu(1 - self.critic(x)).mean() + F.relu(1 + self.critic(made)).mean()
            self.opt_d.zero_grad()
            loss_d.backward()
            self.opt_d.step()
            for opt in (self.opt_d, self.opt_g):
                opt.zero_grad(set_to_none=True)
            self.mean("d", loss_d)
    """,
    "gan in two loops": """
        for x, y in self.steps(self.data):
            loss = self.critic(x).mean()
            loss.backward()
        self.generator.train()
        opt = self.opt_g
        for x, y in self.steps(self.data):
            loss = self.generator(x).mean()
            opt.zero_grad()
            loss.backward()
        return {"loss": loss}
    """,
    "tqdm": """
        for x in tqdm(self.steps(self.data), desc=f"epoch {epoch}"):
            self.model(x)
    """,
    "tqdm, dotted": """
        for x in bars.tqdm(self.steps(self.data)):
            self.model(x)
    """,
    "track": """
        for x in track(self.steps(self.data), description="training"):
            self.model(x)
    """,
    "tqdm with a name": """
        pbar = tqdm(self.steps(self.data))
        for x in pbar:
            loss = self.model(x)
            pbar.set_postfix(loss=loss.item())
    """,
    "tqdm by hand": """
        pbar = tqdm(total=len(self.data))
        started = time.time()
        for x in self.steps(self.data):
            loss = self.model(x)
            pbar.set_postfix(loss=loss.item(), seconds=time.time() - started)
            pbar.update()
            started = time.time()
        pbar.close()
    """,
    "try": """
        for x in self.steps(self.data):
            try:
                loss = self.model(x)
            except RuntimeError as error:
                self.logger.warning("skipped: %s", error)
                continue
            else:
                loss.backward()
            finally:
                self.optimizer.step()
    """,
    "finally": """
        try:
            for x in self.steps(self.data):
                self.model(x).backward()
        finally:
            self.model.eval()
    """,
    "with": """
        with torch.autograd.set_detect_anomaly(True), self.lock as lock:
            for x in self.steps(self.data):
                with nullcontext(x) as y, torch.no_grad():
                    z = y + 1
                self.w += z
    """,
    "inner for": """
        for x in self.steps(self.data):
            total = 0
            for part in [1, 2, 3]:
                out = self.model(x * part)
                total += out.item()
            self.mean("loss", total)
    """,
    "inner while": """
        for x in self.steps(self.data):
            tries = 0
            while True:
                tries += 1
                y = self.model(x)
                if y.ok or tries > 3:
                    break
            self.mean("tries", tries)
            self.y = y
    """,
    "walrus": """
        for x in self.steps(self.data):
            if (loss := self.model(x)) > 1 and loss < 5:
                self.mean("loss", loss)
            while (rest := self.model(x)) > 0:
                self.n += rest
    """,
    "match": """
        for x in self.steps(self.data):
            match x:
                case {"image": image, **rest}:
                    y = self.model(image, rest)
                case [image, *_] if len(x) > 1:
                    y = self.model(image)
                case image:
                    y = image
            self.mean("y", y)
    """,
    "comprehension": """
        parts = [model for model in self.models]
        x = 3
        for batch in self.steps(self.data):
            losses = [model(x) for model in parts for x in batch]
            pairs = {name: sum(x) for name, x in zip("ab", losses)}
            total = sum(loss.item() for loss in losses)
            losses.append(total)
            self.mean("loss", torch.stack(losses).sum() + x)
    """,
    "closure of LBFGS": """
        for x, y in self.steps(self.data):
            def closure():
                self.optimizer.zero_grad()
                loss = cross_entropy(self.model(x), y)
                loss.backward()
                return loss
            self.optimizer.step(closure)
            self.optimizer.step(lambda: self.model(x))
    """,
    "closure made before": """
        def forward():
            return self.model(x)
        for x in self.steps(self.data):
            self.mean("loss", forward())
    """,
    "permutation": """
        x, y = self.train
        order = self.rng.permutation(len(x))
        rows = torch.arange(10)
        for at in self.steps(range(0, len(x), 8)):
            part = order[at : at + 8]
            self.model.partial_fit(x[part], y[part], rows[at])
            self.model.partial_fit(order[0])
    """,
    "numbers": """
        n, lr, device = len(self.data), self.lr * 0.5 ** epoch, torch.device("cpu")
        warm = epoch < 3
        beta = min(0.9, 1 / epoch) if warm else LR
        shape = tuple(self.shape)
        for x in self.steps(self.data):
            for group in self.optimizer.param_groups:
                group["lr"] = lr * self.step / n
            self.model(x, beta, device, warm, shape)
    """,
    "parameters": """
        params = [p for p in self.model.parameters() if p.requires_grad]
        others = list(self.model.parameters())
        for x in self.steps(self.data):
            clip_grad_norm_(params, 1.0)
            for p in others:
                p.grad.mul_(0.5)
                p.data -= 0.1
    """,
    "library functions with arrays": """
        weight = torch.ones(10)
        scale = np.array([1.0, 2.0])
        for x, y in self.steps(self.data):
            loss = F.cross_entropy(self.model(x), y, weight=weight)
            self.mean("loss", np.mean(loss * scale, axis=0) + np.dot(scale, scale))
    """,
    "table of functions": """
        losses = {"a": self.loss_a, "b": self.loss_b}
        names = ["a", "b"]
        for x in self.steps(self.data):
            for name in names:
                self.mean(name, losses[name](x))
            print(len(losses), sorted(names), names.index("a"), losses.get("c"))
    """,
    "printing": """
        out = open("log.txt", "a")
        for x in self.steps(self.data):
            print(x, file=out)
    """,
    "what libraries give": """
        weights = torch.softmax(self.logits, 0)
        first = self.w.clone()
        batches = np.array_split(self.order, 3)
        for x in self.steps(self.data):
            self.mean("moved", (self.w - first).norm() / first.norm())
            for batch in batches:
                self.model(x, weights.sum(), batch)
    """,
    "arguments kept apart": """
        options, shape = {"reduction": "sum"}, [1, 2]
        for x in self.steps(self.data):
            self.model(x.view(*shape), **options)
    """,
    "teacher": """
        teacher = copy.deepcopy(self.model).eval()
        for x in self.steps(self.data):
            loss = F.mse_loss(self.model(x), teacher(x))
            loss.backward()
    """,
    "early end": """
        for x in self.steps(self.data):
            loss = self.model(x)
            if loss > 100:
                self.failed = True
                break
        else:
            self.failed = False
        return loss
    """,
    "early return": """
        for x in self.steps(self.data):
            if self.model(x) > 100:
                return {"loss": float("nan")}
        return {"loss": self.loss}
    """,
    "attributes": """
        self.total, self.losses = 0.0, []
        losses = self.losses
        for x in self.steps(self.data):
            self.total += self.model(x).item()
            losses.append(self.total)
            self.best = min(self.best, self.total)
        return {"loss": self.total / len(losses)}
    """,
    "folds": """
        for fold in self.folds:
            for k in range(len(self.parts)):
                for x in self.steps(fold):
                    self.model(x, k)
    """,
    "several loops with what is steady": """
        n = len(self.data)
        device = self.device
        for x in self.steps(self.data):
            self.model(x)
        flag, opt = True, self.opt_g
        for rate in (0.1, 0.2):
            self.opt_g.reset(rate)
            if epoch > 3:
                for x in self.steps(self.other):
                    opt.step(x, flag, n, rate, device)
        for x in self.steps(range(n)):
            self.model(x)
    """,
    "self under another name": """
        me = self
        walk = me.steps
        for x in me.steps(self.data):
            me.total += x
        for x in walk(self.data):
            me.total += x
    """,
    "nested function with a loop": """
        def one(data):
            for x in self.steps(data):
                self.model(x)
        one(self.data)
    """,
    "unused head": """
        for self.x in self.steps(self.data):
            self.y[0] = self.x
            del self.y[1]
    """,
    "annotations": """
        for x in self.steps(self.data):
            loss: float = self.model(x)
            later: int
            self.mean("loss", loss)
    """,
}


@pytest.mark.parametrize("case", CLEAN)
def test_ordinary_loops_carry_nothing(case: str) -> None:
    assert carried.find(experiment(CLEAN[case])) == []


CARRIED = {
    # names, with may and must
    "sum": ("total = 0\nfor x in self.steps(d):\n    total += x.item()\nreturn total", "total"),
    "counter": ("n = 0\nfor x in self.steps(d):\n    n = n + 1", "n"),
    "best": ("best = None\nfor x in self.steps(d):\n    if best is None or x < best: best = x", "best"),
    "sometimes": ("last = 0\nfor x in self.steps(d):\n    if x: last = x\nreturn last", "last"),
    "after continue": ("y = 0\nfor x in self.steps(d):\n    if x: continue\n    y = x\nreturn y", "y"),
    "after break": ("for x in self.steps(d):\n    if x: break\n    y = x\nreturn y", "y"),
    "in a handler": ("bad = 0\nfor x in self.steps(d):\n    try: self.f(x)\n    except ValueError as e: bad = e\nreturn bad", "bad"),
    "before a handler": ("y = 0\nfor x in self.steps(d):\n    try: y = self.f(x)\n    except ValueError: self.mean('y', y)", "y"),
    "suppressed": ("for x in self.steps(d):\n    with suppress(ValueError): y = self.f(x)\nreturn y", "y"),
    "caught outside": ("y = 0\ntry:\n    for x in self.steps(d): y = self.f(x)\nexcept ValueError: pass\nreturn y", "y"),
    "in a case": ("y = 0\nfor x in self.steps(d):\n    match x:\n        case 1: y = 1\nreturn y", "y"),
    "captured": ("y = 0\nfor x in self.steps(d):\n    match x:\n        case [y, 1]: pass\nreturn y", "y"),
    "inner while": ("y = 0\nfor x in self.steps(d):\n    while self.more(): y = x\nreturn y", "y"),
    "inner for": ("for x in self.steps(d):\n    for y in x: pass\nreturn y", "y"),
    "walrus": ("y = 0\nfor x in self.steps(d):\n    if x and (y := self.f(x)): pass\nreturn y", "y"),
    "walrus in a comprehension": ("y = 0\nfor x in self.steps(d):\n    [y := z for z in x]\nreturn y", "y"),
    "deleted": ("y = 0\nfor x in self.steps(d):\n    if self.step == 3: del y", "y"),
    "imported": ("for x in self.steps(d):\n    if x: import math\nreturn math.pi", "math"),
    "defined": ("def f(): return 1\nfor x in self.steps(d):\n    f()\n    def f(): return x", "f"),
    "swapped": ("a, b = 1, 2\nfor x in self.steps(d):\n    a, b = b, a", "a b"),
    "starred": ("rest = []\nfor x in self.steps(d):\n    self.f(rest)\n    _, *rest = x", "rest"),
    "with": ("y = None\nfor x in self.steps(d):\n    self.f(y)\n    with self.lock as y: pass", "y"),
    "read by a lambda": ("y = 0\nfor x in self.steps(d):\n    f = lambda: y\n    y = f() + 1", "y"),
    "read by a closure made before": ("y = 0\ndef f(): return y\nfor x in self.steps(d):\n    self.f(f())\n    y = x", "y"),
    "the batch before": ("before = None\nfor x in self.steps(d):\n    self.f(x, before)\n    before = x", "before"),
    "time, sometimes": ("for x in self.steps(d):\n    if x == 1: t = time.time()\n    self.f(time.time() - t)", "t"),
    "two": ("total, n = 0, 0\nfor x in self.steps(d):\n    total += x\n    n += 1", "n total"),
    # objects
    "list": ("losses = []\nfor x in self.steps(d): losses.append(x)", "losses"),
    "dict": ("out = {}\nfor x in self.steps(d): out['loss'] = x", "out"),
    "deleted element": ("out = {1: 2}\nfor x in self.steps(d): del out[1]", "out"),
    "meter": ("meter = Meter()\nfor x in self.steps(d): meter.update(x)", "meter"),
    "meter that is called": ("acc = Accuracy()\nfor x in self.steps(d): acc(x)\nreturn acc.compute()", "acc"),
    "meter that is given away": ("m = Meter()\nfor x in self.steps(d): self.f(m, x)\nreturn m.value", "m"),
    "meter that is returned": ("m = Meter()\nfor x in self.steps(d): self.f(m, x)\nreturn m", "m"),
    "generator": ("rng = np.random.default_rng(epoch)\nfor x in self.steps(d): self.f(rng.normal())", "rng"),
    "generator given away": ("rng = np.random.default_rng(epoch)\nfor x in self.steps(d): self.f(x, rng)", "rng"),
    "generator of torch": ("g = torch.Generator().manual_seed(1)\nfor x in self.steps(d): torch.randn(3, generator=g)", "g"),
    "iterator": ("it = iter(self.other)\nfor x in self.steps(d): self.f(next(it))", "it"),
    "zip": ("pairs = zip(self.a, self.b)\nfor x in self.steps(d):\n    for p in pairs: self.f(p)", "pairs"),
    "generator expression": ("it = (x * 2 for x in self.a)\nfor x in self.steps(d): self.f(sum(it))", "it"),
    "parameters": ("params = self.model.parameters()\nfor x in self.steps(d): clip_grad_norm_(params, 1.0)", "params"),
    "method that may give an iterator": ("pairs = self.pairs()\nfor x in self.steps(d):\n    for p in pairs: self.f(p)", "pairs"),
    "next of a parameter": ("for x in self.steps(d): self.f(next(epoch))", "epoch"),
    "optimizer": ("opt = torch.optim.SGD(self.p, 0.1)\nfor x in self.steps(d):\n    self.f(x)\n    opt.step()", "opt"),
    "array": ("hits = np.zeros(3)\nfor x in self.steps(d): hits[x] += 1", "hits"),
    "array, added to": ("hits = np.zeros(3)\nfor x in self.steps(d): hits += x", "hits"),
    "tensor": ("hits = torch.zeros(3)\nfor x in self.steps(d): hits.add_(x)", "hits"),
    "array given away": ("w = torch.zeros(3)\nfor x in self.steps(d): self.f(w)", "w"),
    "array written by a library": ("w = np.zeros(3)\nfor x in self.steps(d): np.copyto(w, x)", "w"),
    "array as out": ("w = np.zeros(3)\nfor x in self.steps(d): np.add(x, 1, out=w)", "w"),
    "moving average": ("ema = copy.deepcopy(self.model)\nfor x in self.steps(d): blend(ema, self.model)", "ema"),
    "made by a function, given away, read": ("ema = f()\nfor x in self.steps(d): blend(ema, x)\nreturn ema.state_dict()", "ema"),
    "clone": ("w = self.w.clone()\nfor x in self.steps(d): self.f(w)", "w"),
    "split, given away": ("parts = np.split(self.order, 3)\nfor x in self.steps(d): parts.append(x)", "parts"),
    "shuffled": ("order = np.arange(9)\nfor x in self.steps(d): np.random.shuffle(order)", "order"),
    "initialised": ("w = self.make()\nfor x in self.steps(d): nn.init.normal_(w)", "w"),
    "view": ("hits = np.zeros((3, 3))\nfor x in self.steps(d):\n    row = hits[x]\n    row += 1", "hits"),
    "view by a method": ("w = torch.zeros(4)\nfor x in self.steps(d):\n    v = w.view(2, 2)\n    v.fill_(1)", "w"),
    "arithmetic": ("w = self.w * 2\nfor x in self.steps(d): w[0] = x", "w"),
    "list given away": ("losses = []\nfor x in self.steps(d): self.f(losses)", "losses"),
    "list in a tuple": ("losses = []\nfor x in self.steps(d): self.f((losses, x))", "losses"),
    "list kept": ("losses = []\nfor x in self.steps(d): self.losses = losses", "losses"),
    "list in a dict": ("out = {'a': []}\nfor x in self.steps(d): out['a'].append(x)", "out"),
    "list in a defaultdict": ("out = defaultdict(list)\nfor x in self.steps(d): out[x].append(x)", "out"),
    "list of meters": ("ms = [Meter() for _ in range(3)]\nfor x in self.steps(d):\n    for m in ms: m.update(x)", "ms"),
    "alias": ("losses = []\nalias = losses\nfor x in self.steps(d): alias.append(x)", "losses"),
    "alias in the loop": ("losses = []\nfor x in self.steps(d):\n    alias = losses\n    alias.append(x)", "losses"),
    "bound method": ("losses = []\nadd = losses.append\nfor x in self.steps(d): add(x)", "losses"),
    "method given away": ("losses = []\nfor x in self.steps(d): self.f(losses.append)", "losses"),
    "comprehension": ("losses = []\nfor x in self.steps(d): [losses.append(y) for y in x]", "losses"),
    "deque": ("window = deque(maxlen=3)\nfor x in self.steps(d): window.append(x)", "window"),
    "list, repeated": ("sums = [0.0] * 3\nfor x in self.steps(d): sums[0] += x", "sums"),
    "file": ("out = open('log', 'a')\nfor x in self.steps(d): out.write(str(x))", "out"),
    "file in with": ("with open('log', 'a') as out:\n    for x in self.steps(d): out.write(str(x))", "out"),
    "sometimes a list": ("out = self.out if epoch else []\nfor x in self.steps(d): out.append(x)", "out"),
    "closure": ("losses = []\ndef note(x): losses.append(x)\nfor x in self.steps(d): note(x)", "losses"),
    "closure, nonlocal": ("n = 0\ndef note():\n    nonlocal n\n    n += 1\nfor x in self.steps(d): note()", "n"),
    "lambda": ("losses = []\nnote = lambda x: losses.append(x)\nfor x in self.steps(d): note(x)", "losses"),
    "tail": ("first = self.items[0]\nfor x in self.steps(d):\n    self.f(first)\n    self.items.pop(0)", "first"),
    "replaced": ("w = self.w\nfor x in self.steps(d): self.w = self.w - x\nreturn self.w - w", "w"),
    "replaced by setattr": ("w = self.w\nfor x in self.steps(d): setattr(self, 'w', x)\nreturn self.w - w", "w"),
    "kept, then replaced": ("w = [1]\nself.w = w\nfor x in self.steps(d): self.w = [x]\nreturn w", "w"),
    "replaced before": ("w = self.w\nself.w = [1]\nfor x in self.steps(d): w.append(x)", "w"),
    # what lies outside
    "global": ("global N\nN = 0\nfor x in self.steps(d): N += 1", "N"),
    "module's dict": ("for x in self.steps(d): STATS['batches'] += 1", "STATS"),
    "module's list": ("for x in self.steps(d): LOG.append(x)", "LOG"),
    "class": ("for x in self.steps(d): type(self).n += 1", "type(self)"),
    "class by name": ("for x in self.steps(d): self.__class__.n += 1", "self.__class__"),
    # other forms
    "enumerate": ("for i, x in enumerate(self.steps(d)): self.f(i)", "enumerate"),
    "enumerate in tqdm": ("for i, x in tqdm(enumerate(self.steps(d))): self.f(i)", "enumerate"),
    "tqdm in enumerate": ("for i, x in enumerate(tqdm(self.steps(d))): self.f(i)", "enumerate"),
    "enumerate and a sum": ("n = 0\nfor i, x in enumerate(self.steps(d)): n += x", "enumerate n"),
    "zip of loops": ("for x, y in zip(self.steps(d), self.other): self.f(x)", "zip"),
    "list of batches": ("xs = list(self.steps(d))", "list"),
    "kept": ("it = self.steps(d)\nfor x in it: self.f(x)", "it"),
    "by hand": ("it = iter(self.steps(d))\nwhile x := next(it, None): self.f(x)", "iter"),
    "in a comprehension": ("return [self.f(x) for x in self.steps(d)]", "comprehension"),
    "in a generator expression": ("for y in (x + 1 for x in self.steps(d)): self.f(y)", "comprehension"),
    "given away": ("self.drive(self.steps(d))", "drive"),
    "method itself given away": ("self.drive(self.steps)", "steps"),
    "returned": ("return self.steps(d)", "steps"),
    "yield from": ("yield from self.steps(d)", "yield yield from"),
    "yield": ("for x in self.steps(d): yield x", "yield"),
    "tqdm with a name that is used twice": ("bar = tqdm(self.steps(d))\nfor x in bar: self.f(bar)", "bar"),
    # later loops
    "loss of the loop before": ("for x in self.steps(d): loss = x\nfor x in self.steps(e): self.f(x)\nreturn loss", "loss"),
    "read between": ("for x in self.steps(d): loss = x\nself.f(loss)\nfor x in self.steps(e): self.f(x)", "loss"),
    "read in else": ("for x in self.steps(d): y = x\nelse: self.f(y)\nfor x in self.steps(e): self.f(x)", "y"),
    "added to between": ("for x in self.steps(d): y = x\ny += 1\nfor x in self.steps(e): self.f(x)", "y"),
    "length between": ("for x in self.steps(d): self.f(x)\nn = len(self.pool)\nfor x in self.steps(e): self.f(n)", "n"),
    "number between": ("for x in self.steps(d): self.lr *= 2\nlr = self.lr\nfor x in self.steps(e): self.f(lr)", "lr"),
    "step between": ("for x in self.steps(d): self.f(x)\nfirst = self.step\nfor x in self.steps(e): self.f(first)", "first"),
    "order between": (
        "for x in self.steps(d): self.f(x)\nfor x in self.steps(self.rng.permutation(3)): self.f(x)",
        "self.rng.permutation(3)",
    ),
    "order between, with a name": (
        "for x in self.steps(d): self.f(x)\no = self.rng.permutation(3)\nfor x in self.steps(o): self.f(x)",
        "o",
    ),
    "condition between": ("for x in self.steps(d): self.n += 1\nif self.n > 3:\n    for x in self.steps(e): self.f(x)", "self.n > 3"),
    "constant that depends": (
        "flag = 0\nfor x in self.steps(d): self.n += x\nif self.n > 3: flag = 1\nfor x in self.steps(e): self.f(flag)",
        "flag",
    ),
    "way out between": ("for x in self.steps(d): self.n += 1\nif self.n > 3: return\nfor x in self.steps(e): self.f(x)", "self.n > 3"),
    "changed in the loop before": (
        "out = []\nfor x in self.steps(d): self.n += x\nout.append(self.n)\nfor x in self.steps(e): self.f(x)\nreturn out",
        "out",
    ),
    "sum over an outer loop": ("n = 0\nfor k in range(3):\n    for x in self.steps(d): self.f(x)\n    n += 1\nreturn n", "n"),
    "while outside": ("k = 0\nwhile k < 3:\n    k += 1\n    for x in self.steps(d): self.f(x)", "k k < 3"),
    "list over an outer loop": ("out = []\nfor k in range(3):\n    out.append(k)\n    for x in self.steps(d): self.f(out)", "out"),
    "batch of the round before": ("x = 0\nfor k in range(3):\n    y = x\n    for x in self.steps(d): self.f(y)", "y"),
    "else of the loop before": (
        "n = 0\nfor x in self.steps(d):\n    if x: break\nelse: n = 1\nfor x in self.steps(e): self.f(n)",
        "n",
    ),
    "elements of what changes": (
        "for m in self.ms:\n    for x in self.steps(d):\n        self.f(m)\n        self.ms.append(x)",
        "m self.ms",
    ),
}


@pytest.mark.parametrize("case", CARRIED)
def test_what_is_carried_is_named(case: str) -> None:
    body, expected = CARRIED[case]
    body = f"d, e = self.data, self.other\n{body}"
    assert " ".join(names(body)) == expected


def sources() -> list[Path]:
    return [*REPOSITORY.glob("demo/experiments/*.py"), *SOURCE.glob("cli/templates/*/experiments/*.py")]


def codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a module and of all in it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from codes(one)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_our_own_experiments_carry_nothing(path: Path) -> None:
    lines = path.read_text().splitlines()
    for code in codes(compile(path.read_text(), str(path), "exec")):
        loops = [at for at, line in enumerate(lines, 1) if "self.steps(" in line]
        if code.co_name == "train_epoch":
            assert [carried.judge(code, line) for line in loops] == [carried.Verdict((), reads_after=False)]


def test_the_experiment_of_the_readme_carries_nothing() -> None:
    blocks = re.findall(r"(?s)```python\n(.*?)```", (REPOSITORY / "README.md").read_text())
    loops = [(block, at) for block in blocks for at, line in enumerate(block.splitlines(), 1) if "self.steps(" in line]
    assert loops
    for number, (block, line) in enumerate(loops):
        name = f"readme{number}"
        linecache.cache[name] = (len(block), None, block.splitlines(keepends=True), name)
        code = next(one for one in codes(compile(block, name, "exec")) if one.co_name == "train_epoch")
        assert carried.judge(code, line).carried == ()


REMEDIES = {
    "total += loss.item()": "use self.mean('loss', value), or keep it as an attribute: self.total",
    "total += loss.item() * len(x)": "use self.mean('loss', value), or keep it as an attribute: self.total",
    "total += float(loss)": "use self.mean('loss', value), or keep it as an attribute: self.total",
    "total = total + loss": "use self.mean('loss', value), or keep it as an attribute: self.total",
    "total += (x == loss).sum()": "use self.mean('total', value), or keep it as an attribute: self.total",
    "total += 1": "use self.step, or an attribute that counts: self.total",
    "total += [loss]": "keep it as an attribute: self.total",
    "total = max(total, loss)": "keep it as an attribute: self.total",
}


@pytest.mark.parametrize("statement", REMEDIES)
def test_the_remedy_fits_the_change(statement: str) -> None:
    (one,) = carried.find(experiment(f"total = 0\nfor x, loss in self.steps(self.data):\n    {statement}"))
    assert one.remedy == REMEDIES[statement]


def test_what_is_carried_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "experiments" / "exp1.py"
    source = "class E:\n    def train_epoch(me, epoch):\n        total = 0\n        for x in me.steps([1]):\n            total += x\n"
    (one,) = carried.find(load(source, str(file))["E"])
    assert (one.name, one.line, one.file, one.function) == ("total", 5, str(file), "E.train_epoch")
    assert str(one).startswith(f"{file}:5: `total` is carried from batch to batch in a local variable; use me.mean('x', value)")
    monkeypatch.chdir(tmp_path)
    assert str(one).startswith("experiments/exp1.py:5: `total` ")


def test_a_class_is_searched_with_its_bases_each_thing_once() -> None:
    space = load(
        """
import functools
def logged(function):
    @functools.wraps(function)
    def inner(*arguments): return function(*arguments)
    return inner
class Ours:
    def train_epoch(self, epoch):
        for ours, x in enumerate(self.steps(self.data)): pass
Ours.__module__ = "kladml.experiment"
class Base(Ours):
    def helper(self):
        n = 0
        for x in self.steps(self.data): n += 1
class E(Base):
    @logged
    def train_epoch(self, epoch):
        total = 0
        for x in self.steps(self.data):
            total += x
            total += x
    @staticmethod
    def loop(experiment):
        for x in experiment.steps(experiment.data): self.f(experiment)
    @property
    def prop(self):
        best = 0
        for x in self.steps(self.data): best = max(best, x)
    @classmethod
    def other(cls, them):
        for i, x in enumerate(them.steps(self.data)): pass
    attribute = len
    def none(self): pass
""".replace("import functools", "").replace("@functools.wraps(function)", "")
    )
    space["E"].train_epoch.__wrapped__ = space["E"].train_epoch.__closure__[0].cell_contents
    assert [one.name for one in carried.find(space["E"])] == ["n", "total", "best"]


def test_helpers_are_followed() -> None:
    body = "total = 0\ntotal += self.one(self.a)\ntotal += self.one(self.b)\nreturn total"
    helper = "def one(self, data):\n    for x in self.steps(data): self.f(x)\n    return self.n\ndef more(self): self.one(1)"
    assert names(body, helper) == ["total"]
    assert names("self.one(self.a)\nself.two(self.b)", f"{helper}\ndef two(self, data): return self.one(data)") == []
    assert names("for k in range(3):\n    n = len(self.a)\n    self.more()\n    self.f(n)", helper) == ["n"]
    assert names("self.one(self.a)\nself.one(self.rng.permutation(3))", helper) == ["self.rng.permutation(3)"]
    assert names("loss = self.one(self.one(self.a))", helper) == ["self.one(self.a)", "self.one(self.one(self.a))"]
    assert names("return self.one(1) + self.one(2)", helper) == ["self.one(1)"]
    assert names("return [self.one(k) for k in range(3)]", helper) == ["self.one(k)"]
    assert names("self.one(self.a)\nself.n = self.n + self.one(self.b)", helper) == ["self.n"]
    assert names("self.one(self.a)\nself.n += self.one(self.b)", helper) == ["self.n"]
    assert names("self.one(self.a)\nn = self.g() + self.one(self.b)", helper) == ["self.g()"]
    assert names("self.one(self.a)\nreturn {'loss': float(self.one(self.b))}", helper) == []


def test_a_helper_that_is_called_again_or_left_is_looked_at_as_such() -> None:
    again = "def one(self, data):\n    n = len(self.pool)\n    for x in self.steps(data): self.f(n)"
    assert names("self.one(self.a)", again) == []
    assert names("self.one(self.a)\nself.one(self.b)", again) == ["n"]
    assert names("for k in range(2): self.two(k)", f"{again}\ndef two(self, k): self.one(self.a)") == ["n"]
    left = "def one(self, data):\n    for x in self.steps(data): loss = x\n    return loss"
    assert names("return self.one(self.a)", left) == []
    assert names("self.one(self.a)\nfor x in self.steps(self.b): self.f(x)", left) == ["loss"]
    assert names("for x in self.steps(self.b): self.f(x)\nreturn self.one(self.a)", left) == []


LOOP = "d = self.data\nn = 0\nfor x, y in tqdm(\n    self.steps(\n        d,\n    ),\n    desc='x',\n):\n    n += 1\nself.g(\n    n,\n)"


@pytest.mark.parametrize("text", ["for x, y in tqdm(", "self.steps(", "d,", "desc='x'"])
def test_a_loop_is_found_by_any_line_of_its_head(text: str) -> None:
    assert judge(LOOP, text) == ["n"]


def test_a_line_of_a_call_that_leads_to_the_first_loop_carries_nothing() -> None:
    assert judge("n = 0\nfor k in range(3):\n    n += self.one(k)\nreturn n", "self.one") == []
    assert judge("return [self.one(k) for k in range(3)]", "self.one") == []
    assert judge(LOOP, "self.g(") == []


def test_a_call_that_leads_to_a_later_loop_carries_what_came_between() -> None:
    body = "n = 0\nfor k in range(3):\n    n += self.one(k)\n    lr = self.lr\n    self.two(lr)\nreturn n"
    helper = "def one(self, k): self.lr = k"
    assert judge(body, "self.one", "self.one", helper) == ["n"]
    assert judge(body, "self.two", "self.one", helper) == ["lr", "n"]
    assert judge("a = self.one(1)\nb = self.one(2)\nreturn a, b", "b = ", "a = ") == ["a"]
    assert judge("a = self.one(1)\nreturn self.one(2)", "return", "a = ") == []


def test_a_call_that_leads_to_a_loop_may_change_what_it_is_given_to_call() -> None:
    assert judge("n = 0\ndef note(x):\n    nonlocal n\n    n += x\nself.walk(note)\nreturn n", "self.walk") == ["n"]
    assert judge("out = []\nself.walk(lambda x: out.append(x))\nreturn out", "self.walk") == ["out"]
    assert judge("w = self.w\nself.walk()\nreturn w", "self.walk()", None, "def walk(self): self.w = 1") == ["w"]
    assert judge("w = self.w\nself.walk()\nreturn w", "self.walk()", None, "def walk(self): self.w.x = 1") == []


def test_a_function_called_after_the_first_loop_began_is_between_as_a_whole() -> None:
    body, helper = "pass", "def one(self, data):\n    n = len(self.pool)\n    for x in self.steps(data): self.f(n)"
    assert judge(body, "self.steps", None, helper, "one") == []
    assert judge(body, "self.steps", 0, helper, "one") == ["n"]
    assert judge(body, "self.steps", 0, helper.replace("len(self.pool)", "self.pool"), "one") == []


def test_the_method_called_is_found_however_it_is_named() -> None:
    assert judge("n = 0\nfor x in self.context.steps(self.data): n += x", "for") == ["n"]
    assert judge("n = 0\nwalk = self.steps\nfor x in walk(self.data): n += x", "for") == ["n"]
    assert names("def f(data, me):\n    n = 0\n    for x in me.steps(data): n += x\nf(self.data, self)") == []
    assert judge("n = 0\nfor x in epoch.steps(self.data): n += x", "for") == ["n"]


def test_loops_on_one_line_are_told_apart_by_the_innermost_call() -> None:
    both = "n, m = 0, 0\nfor x in self.steps(d): n += x\nfor x in self.steps(d): m += x"
    assert judge(both, "n += x") == ["n"]
    code = code_of("a, b = self.steps(self.d), self.steps(self.e)")
    assert sorted(one.name for one in carried.judge(code, line_of(code, "a, b")).carried) == ["steps"]


def test_async_loops_lambdas_and_comprehensions() -> None:
    space = load(
        "class E:\n"
        "    async def train_epoch(self, epoch):\n"
        "        async for x in self.steps(self.data): self.f(x)\n"
        "    walk = lambda self: list(self.steps(self.data))\n"
        "    lead = lambda self: self.walk()\n"
        "    def gen(self): return sum(self.lead() for _ in range(3))\n"
    )
    assert [one.name for one in carried.find(space["E"])] == ["async for", "lambda"]
    walk, lead = space["E"].walk.__code__, space["E"].lead.__code__
    assert [one.name for one in carried.judge(walk, 4).carried] == ["lambda"]
    assert carried.judge(lead, 5).carried == ()
    assert [one.name for one in carried.judge(lead, 5, 5).carried] == ["lambda"]
    inner = next(one for one in codes(space["E"].gen.__code__) if one.co_name == "<genexpr>")
    assert carried.judge(inner, 6).carried == ()
    assert [one.name for one in carried.judge(inner, 6, 6).carried] == ["comprehension"]


def test_nonlocal_names_and_lists_of_a_function_around() -> None:
    space = load(
        """
def make():
    n, out = 0, []
    class E:
        def train_epoch(self, epoch):
            nonlocal n
            for x in self.steps(self.data):
                n += 1
                out.append(x)
    return E
"""
    )
    assert [one.name for one in carried.find(space["make"]())] == ["n", "out"]


READS_AFTER = {
    "for x in self.steps(d): self.f(x)": False,
    "for x in self.steps(d): loss = x\nreturn {'loss': loss}": True,
    "for x in self.steps(d): pass\nreturn x": True,
    "loss = 0\nfor x in self.steps(d): self.f(x)\nreturn loss": False,
    "for x in self.steps(d): loss = x\nloss = self.loss\nreturn loss": False,
    "for x in self.steps(d): loss = x\nelse: self.f(loss)": True,
    "for k in range(3):\n    if k: self.f(loss)\n    for x in self.steps(d): loss = x": True,
    "for x in self.steps(d):\n    if x: break\nself.f()": False,
    "def f(): return x\nfor x in self.steps(d): pass\nf()": True,
    "xs = list(self.steps(d))": True,
    "try:\n    for x in self.steps(d): loss = x\nfinally: self.f(loss)": True,
}


@pytest.mark.parametrize("body", READS_AFTER)
def test_whether_a_batch_is_needed_after_the_loop(body: str) -> None:
    code = code_of(f"d = self.data\n{body}")
    assert carried.judge(code, line_of(code, "self.steps")).reads_after is READS_AFTER[body]


def test_what_the_code_after_a_skipped_loop_would_miss() -> None:
    code = code_of("d = self.data\nfor x in self.steps(d): loss = x\nself.log(loss)\nfor y in self.steps(d): loss = y\nreturn loss, y")
    first = carried.judge(code, line_of(code, "for x"))
    assert (first.carried, [one.name for one in first.unbound]) == ((), ["loss"])
    assert [one.name for one in carried.judge(code, line_of(code, "for y")).unbound] == ["loss", "y"]
    code = code_of("d, loss = self.data, 0\nfor x in self.steps(d): loss = x\nself.log(loss)")
    assert carried.judge(code, line_of(code, "for x")).unbound == ()


def test_a_source_that_cannot_be_read_or_is_another_one_is_not_trusted() -> None:
    source = "class E:\n    def train_epoch(self, epoch):\n        for x in self.steps([1]): y = x\n"
    code = load(source, "/tmp/missing.py")["E"].train_epoch.__code__
    for text in ("", "def (", source.replace("y", "z"), f"\n{source}", source.replace("train_epoch", "other")):
        linecache.cache["/tmp/missing.py"] = (len(text), None, text.splitlines(keepends=True), "/tmp/missing.py")
        verdict = carried.judge.__globals__["_judge"].__wrapped__(code, "/tmp/missing.py", 3, None)
        assert [(one.name, one.remedy) for one in verdict.carried] == [("<source>", "put the class into a file")]
        assert verdict.reads_after


def test_a_copy_in_another_file_has_a_verdict_of_its_own() -> None:
    source = "class E:\n    def train_epoch(self, epoch):\n        n = 0\n        for x in self.steps([1]): n += x\n"
    pair = [load(source, name)["E"].train_epoch.__code__ for name in ("/tmp/one.py", "/tmp/two.py")]
    assert pair[0] == pair[1]
    assert [carried.judge(code, 4).carried[0].file for code in pair] == ["/tmp/one.py", "/tmp/two.py"]
    assert carried.judge(pair[0], 4) is carried.judge(pair[0], 4)


class Writer:
    """Writes experiments over ints and lists at random: small or large ones, with many or few of the things that loops should not do."""

    def __init__(self, pick: Callable[[Sequence[Any]], Any]) -> None:
        self.pick = pick
        self.is_helper = False
        self.wild = pick([0, 1, 1, 3])
        self.nests = pick([0, 0, 1])

    def number(self, depth: int = 0) -> str:
        leaves = ["1", "2", "epoch", "self.a", "self.b", "x", "u", "v", "w", "u", "v", "len(p)"]
        forms = ["({0} + {1})", "({0} * 2 - {1})", "({0} if {1} % 2 else 3)", "(u := {0} + 1)"]
        forms += ["sum({l})", "len({l})", "f()", "sum([u for u in {l}])"] if self.wild else []
        form: str = self.pick([*leaves, *leaves, *forms]) if depth < 2 else self.pick(leaves)
        parts = [self.number(depth + 1) if hole in form else "" for hole in ("{0}", "{1}")]
        return form.format(*parts, l=self.pick(["p", "q", "self.c"]))

    def test(self) -> str:
        n, m = self.number(), self.number()
        return str(self.pick([f"{n} % 2", f"{n} > {m}", f"{n} % 3 == 0 and {m} > 2", f"self.a % 2 or {n} > 2", "epoch > 0"]))

    def block(self, depth: int, inside: str, longest: int = 3) -> list[str]:
        """Lines; inside `loop`, `steps` (and there perhaps in a loop), or nothing."""
        lines = []
        for _ in range(self.pick(range(1, longest + 1))):
            nests = self.nests and depth < 3 and self.pick([0, 0, 1])
            lines += self.compound(depth, inside) if nests else self.wild_line(inside) if self.pick(range(8)) < self.wild else self.line()
        return lines

    def line(self) -> list[str]:
        pick, n = self.pick, self.pick("uvw")
        number = f"self.{pick('ab')} {pick(['=', '+='])} {self.number()}"
        return [pick([f"{n} = {self.number()}", number, number, f"self.a += {n}", "self.b += x", "u = 1", "v = epoch"])]

    def wild_line(self, inside: str) -> list[str]:
        pick = self.pick
        n, m, p, q = pick("uvw"), pick("uvw"), pick("pq"), pick("pq")
        new = pick(["[]", q, "self.c", f"[{n}]", f"list({q})", f"{q} + [1]", f"{q} or self.c"])
        lines = [f"{n} += {self.number()}", f"{p}.append({n})", f"{p} = {new}", f"if {self.test()}: {n} = {self.number()}", "self.swap()"]
        lines += ["g()", pick([f"def g(): {p}.append(1)", f"def g():\n    nonlocal {n}\n    {n} += 1", f"def g(): self.a += {n}"])]
        lines += [pick([f"self.c = {p}", f"self.c = [{n}]", f"self.c.append({n})", "del self.c[:1]", f"self.c = {p} = [2]", f"{p} += [1]"])]
        lines += [pick([f"{n}, {m} = {m}, {n}", f"{p}, {q} = {q}, {p}", f"{n}, *{p} = [{m}, 2, 3]", f"del {n}; {n} = 1", f"{n} = self.a"])]
        lines += [pick([f"grow({p}, {n})", f"G.append({n})", f"h = {p}.append; h({n})", f"i = iter({p})", f"{n} = next(i, 0)"])]
        lines += [pick([f"m.add({n})", f"m({n})", f"{n} = m.total", "m = Meter()", f"d[1] = {p}", f"{p} = d[1]", f"d[1].append({n})"])]
        lines += [pick([f"[z.append(1) for z in ({p}, {q})]", f"def f(): return {n} + 1", f"f = lambda: {n}", f"setattr(self, 'a', {n})"])]
        lines += [f"if {self.test()}: {pick(['break', 'continue'])}"] if inside.endswith("loop") else []
        lines += [f"if {self.test()}: return 0"] if not inside else []
        return str(pick(lines)).split("\n")

    def compound(self, depth: int, inside: str) -> list[str]:
        def sub(within: str = inside) -> list[str]:
            return ["    " + line for line in self.block(depth + 1, within, 2)]

        pick, n, loop = self.pick, self.pick("uvw"), "steps loop" if "steps" in inside else "loop"
        orelse = ["else:", *sub()] if pick([0, 1]) else []
        kinds = ["if", "if", "for", "while", "try", "finally", "suppress", "match"]
        match pick([*kinds, *(["steps", "steps", "outer"] if "steps" not in inside else [])]):
            case "if":
                return [f"if {self.test()}:", *sub(), *orelse]
            case "for":
                return [f"for {n} in range({pick(['2', self.number() + ' % 3'])}):", *sub(loop), *orelse]
            case "while":
                k = f"k{depth}"
                return [f"{k} = 0", f"while {k} < {pick(['2', self.number()])} % 4:", f"    {k} += 1", *sub(loop), *orelse]
            case "try":
                return ["try:", f"    if {self.test()}: raise ValueError", *sub(), "except ValueError:", *sub()]
            case "finally":
                return ["try:", *sub(), "finally:", *sub("steps" if "steps" in inside else "")]
            case "suppress":
                return ["with suppress(ValueError):", *sub(), f"    if {self.test()}: raise ValueError", *sub()]
            case "match":
                cases = ["    case 0:", *indented(sub()), f"    case {pick([n, '1'])}:", *indented(sub())]
                return [f"match {self.number()} % 3:", *cases]
            case "outer":
                return [f"for {n} in range(2):", *sub("loop"), *indented(self.steps(depth + 1)), *sub("loop")]
            case _:
                return self.steps(depth)

    def steps(self, depth: int = 0) -> list[str]:
        head = self.pick(["range(3)", "range(3)", "range(3)", f"range({self.number()} % 4)", "p[:4]", "self.c[:3]"])
        orelse = ["else:", *indented(self.block(depth + 1, "", 1))] if self.pick(range(6)) == 0 else []
        target = self.pick(["x", "x", "x", "u"])
        return [f"for {target} in self.steps({head}):", *indented(self.block(depth + 1, "steps loop", 4)), *orelse]

    def walk(self) -> list[str]:
        """A loop over steps in one of its places, or calls of a method that has one."""
        lines = self.steps()
        if self.is_helper:
            return lines
        n, call = self.pick("uvw"), f"self.helper({self.number(1)})"
        match self.pick(["plain"] * 4 + ["if", "again", "call", "call"]):
            case "if":
                return [f"if {self.test()}:", *indented(lines)]
            case "again":
                return [f"for {n} in range(2):", *indented([*self.line(), *lines, *self.line()])]
            case "call":
                forms = [f"self.helper({n})", f"{n} = {call}", f"{n} += {call}", f"self.b += {call}", f"{n} = self.a + {call}"]
                return [self.pick([*forms, f"{n} = {call} + self.helper(1)", f"if {call} > 1: self.a += 1"])]
            case _:
                return lines

    def method(self, head: str) -> list[str]:
        self.is_helper = "helper" in head
        begin = ["f, g, i, m, d = (lambda: 1), (lambda: 1), iter([]), Meter(), {1: []}"]
        begin += [f"{name} = {self.pick(['0', 'epoch', 'self.a'])}" for name in "uvwx" if self.pick(range(12))]
        begin += [f"{name} = {self.pick(['[]', '[1]', 'self.c'])}" for name in "pq"]
        body = self.block(0, "", 2) if self.pick([0, 1]) else []
        for _ in range(1 if self.is_helper else self.pick([1, 2])):
            body += [*self.walk(), *(self.block(2, "", 2) if self.pick([0, 0, 1]) else [])]
        end = self.pick(
            ["return 0", f"return {self.number()}", f"return u + v + {self.number()} + len(p)", "return x + len(p)", "return self.a"]
        )
        return [head, *indented([*begin, *body, end])]

    def module(self) -> str:
        methods = [*self.method("def train_epoch(self, epoch):"), *self.method("def helper(self, epoch):")]
        return PRELUDE + "\n".join(indented(methods)) + "\n"


def indented(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


PRELUDE = """
from contextlib import suppress
G = []
def grow(a, b): a.append(b)
class Meter:
    def __init__(self): self.total = 0
    def add(self, n): self.total += n
    def __call__(self, n): self.total += n
class E:
    def swap(self): self.c = list(self.c)
"""
BEGIN: dict[str, Any] = {"a": 1, "b": 2, "c": [3]}


class Framework:
    """The part of the framework that matters here: snapshots between batches, and going on from one.

    Attributes:
        verdicts: for every loop, those of the functions that led to it.
        missing: for every loop, whether functions that have returned would fail without their batches.
        snapshots: the loop, how many batches were done, whether they were all, and the attributes then.
    """

    def __init__(self, kind: type, at: tuple[int, int] | None = None, saved: dict[str, Any] | None = None) -> None:
        self.experiment: Any = kind()
        vars(self.experiment).update(copy.deepcopy(BEGIN))
        kind.steps = lambda _, loader: self.steps(list(loader), sys._getframe(1))  # type: ignore[attr-defined]
        self.at, self.saved = at, saved
        self.verdicts: list[list[carried.Verdict]] = []
        self.snapshots: list[tuple[int, int, bool, dict[str, Any]]] = []
        self.missing: list[bool] = []
        self._begun: list[tuple[FrameType, int]] = []
        self._judged: list[tuple[FrameType, carried.Verdict]] = []
        self._loops = self._batches = 0

    def run(self) -> Any:
        """What an epoch gives, and the attributes after it."""
        return self.experiment.train_epoch(1), copy.deepcopy(vars(self.experiment))

    def steps(self, batches: list[Any], frame: FrameType) -> Iterator[Any]:
        if self.at is None:
            self._judge(frame)
        self._loops += 1
        return self._walk(self._loops - 1, batches)

    def _judge(self, frame: FrameType) -> None:
        chain = [frame] if frame.f_code.co_name == "train_epoch" else [frame, frame.f_back]
        known = {id(one): line for one, line in self._begun}
        later = 0 if self._loops else None
        here = [one for one in chain if one]
        self.verdicts.append([carried.judge(one.f_code, one.f_lineno, known.get(id(one), later)) for one in here])
        self.missing.append(any(verdict.unbound for one, verdict in self._judged if one not in here))
        self._judged += zip(here, self.verdicts[-1], strict=True)
        self._begun += [(one, one.f_lineno) for one in here if id(one) not in known]

    def _walk(self, loop: int, batches: list[Any]) -> Iterator[Any]:
        begin = 0
        if self.at is not None and self.saved is not None:
            if loop < self.at[0]:
                return
            begin = self.at[1]
            self._restore()
        for done, batch in enumerate(batches[begin:], begin + 1):
            self._batches += 1
            assert self._batches < 100
            yield batch
            if self.at is None:
                self.snapshots.append((loop, done, done == len(batches), copy.deepcopy(vars(self.experiment))))

    def _restore(self) -> None:
        """Put attributes back; lists in place, and what was one list is one again."""
        saved, self.saved = copy.deepcopy(self.saved), None
        live, lists, filled = vars(self.experiment), {}, set()
        for name in live.keys() - saved.keys():
            del live[name]
        for name, value in saved.items():
            if isinstance(value, list) and id(value) not in lists:
                old = live.get(name)
                lists[id(value)] = old if isinstance(old, list) and id(old) not in filled else []
                lists[id(value)][:] = value
                filled.add(id(lists[id(value)]))
            live[name] = lists.get(id(value), value)


def resumes(source: str, name: str) -> Counter[str]:
    """Go on from every moment of an epoch at which the source says that this is exact, and compare."""
    space = load(source, name)
    whole = Framework(space["E"])
    found: Counter[str] = Counter()
    try:
        expected = whole.run()
    except (AssertionError, NameError):  # too long, or a variable without a value
        return found
    exact = [not any(one.carried for one in verdicts) for verdicts in whole.verdicts]
    for loop, done, is_last, saved in whole.snapshots:
        may = exact[loop] and not whole.missing[loop] and not (is_last and any(one.reads_after for one in whole.verdicts[loop]))
        found["carried" if not exact[loop] else "last" if is_last else "later" if loop else "first"] += 1
        if may:
            space["G"].clear()
            assert Framework(space["E"], (loop, done), saved).run() == expected, f"after batch {done} of loop {loop}:\n{source}"
    return found


def test_what_carries_nothing_goes_on_exactly() -> None:
    found: Counter[str] = Counter()

    @settings(derandomize=True, max_examples=400, deadline=None, database=None)
    @given(st.randoms(use_true_random=False))
    def check(chooser: random.Random) -> None:
        source = Writer(lambda options: chooser.choice(list(options))).module()
        with suppress(SyntaxError):
            found.update(resumes(source, f"/tmp/random_{next(_numbers)}.py"))

    check()
    total = sum(found.values())
    assert total > 300
    assert found["carried"] > 0.3 * total
    assert found["first"] > 0.1 * total
    assert found["last"] > 0.1 * total
    assert found["later"] > 0.02 * total
