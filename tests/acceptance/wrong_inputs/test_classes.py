"""Experiment classes as people mistype them: found before anything runs where possible, else a failure that points at their line."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from mistakes import HEAD, Mistakes, faults

TRAINS = """
def train_epoch(self, epoch):
    return {"loss": 1.0 / epoch}
"""


def one(body: str, base: str = "Experiment") -> str:
    """A module with the class `One` of the name `one`."""
    return f'{HEAD}@register("one")\nclass One({base}):\n{textwrap.indent(body.strip(), "    ")}\n'


def returning(value: str) -> str:
    """A module whose epochs return this."""
    return one(f"def train_epoch(self, epoch):\n    return {value}")


def training(statement: str) -> str:
    """A module whose epochs do this."""
    return one(f"def train_epoch(self, epoch):\n    {statement}")


MODULES = {
    "a syntax error": ("def broken(:\n", "SyntaxError: invalid syntax", 1),
    "no indent": ("\ndef broken():\nreturn 1\n", "IndentationError: expected an indented block", 3),
    "a library that is not installed": (
        f"import no_such_library\n{one(TRAINS)}",
        "ModuleNotFoundError: No module named 'no_such_library'",
        1,
    ),
    "a misspelt import": ("from kladml import Experimnt\n", "ImportError: cannot import name 'Experimnt'", 1),
    "an error at import": (f"{one(TRAINS)}\nOne.missing\n", "AttributeError: type object 'One' has no attribute 'missing'", 11),
    "sys.exit at import": ("import sys\nsys.exit(0)\n", "SystemExit: 0", 2),
    "no train_epoch": (one("pass"), "experiments.mod.One has no train_epoch(self, epoch). Give it one", 6),
    "a misspelt train_epoch": (one("def train_epochs(self, epoch):\n    pass"), "has no train_epoch(self, epoch). Give it one", 6),
    "no Experiment": (one(TRAINS, base="object"), "is no subclass of kladml.Experiment. Derive it from Experiment", 6),
    "a function": (f'{HEAD}@register("one")\ndef one(epoch):\n    return {{}}\n', "is no subclass of kladml.Experiment", 6),
    "a list for a default": (one(f"@dataclass\nclass Hyperparams:\n    sizes: list = []\n{TRAINS}"), "ValueError: mutable default", 8),
    "the comma of a tuple": (one(f'inputs = ("loader")\n{TRAINS}'), "write a tuple of names: inputs = ('loader',)", 6),
    "a name used twice": (
        f"{one(TRAINS)}\n@register('one')\nclass Two(One):\n    pass\n",
        "the name 'one' is registered twice: by experiments.mod.One and experiments.mod.Two. Rename one",
        11,
    ),
}


@pytest.fixture
def project(project: Mistakes) -> Mistakes:
    """The project with a config for the class `one`."""
    configure(project)
    return project


def configure(project: Mistakes, **values: Any) -> None:
    """Write the config `a`, which is tried once."""
    project.write("config/a.json", {"model_type": "one", "on_failure": "skip", **values})


@pytest.mark.parametrize(("source", "words", "line"), MODULES.values(), ids=MODULES)
def test_a_module_that_cannot_be_imported(project: Mistakes, source: str, words: str, line: int) -> None:
    project.write("experiments/mod.py", source)
    (fault,) = faults(project.refused("run"))
    assert fault.startswith("config/a.json: $.model_type: found 'one', which no class is registered under; known: good; searched: ")
    assert "module experiments.mod could not be imported, correct it: " in fault
    assert words in fault
    assert fault.endswith(f" at {project.root}/experiments/mod.py:{line}")


def test_a_module_that_cannot_be_imported_is_no_matter_for_others(project: Mistakes) -> None:
    project.write("experiments/mod.py", "import no_such_library\n")
    project.write("config/a.json", {"model_type": "good"})
    assert project.run("run").expect(0).stdout.splitlines()[1].split()[:2] == ["a", "FINISHED"]


def test_a_name_used_in_two_modules_runs_neither(project: Mistakes) -> None:
    project.write("experiments/first.py", one(TRAINS))
    project.write("experiments/second.py", one(TRAINS))
    (fault,) = faults(project.refused("run"))
    assert "the name 'one' is registered twice: by experiments.first.One and experiments.second.One. Rename one" in fault


def test_a_class_without_register(project: Mistakes) -> None:
    project.write("experiments/mod.py", one(TRAINS).replace('@register("one")\n', ""))
    (fault,) = faults(project.refused("run"))
    assert "put @register('one') above a class there, or correct the name" in fault


HYPERPARAMS = {
    "no dataclass": ("class Hyperparams:\n    lr: float = 0.1", "allowed: a dataclass or a msgspec.Struct; put @dataclass above it"),
    "a dict": ('Hyperparams = {"lr": 0.1}', "allowed: a dataclass or a msgspec.Struct; give the class itself"),
    "an unknown type": (
        '@dataclass\nclass Hyperparams:\n    lr: "flot" = 0.1',
        "name 'flot' is not defined; import or define the types they name at the top of its module",
    ),
}


@pytest.mark.parametrize(("body", "words"), HYPERPARAMS.values(), ids=HYPERPARAMS)
def test_wrong_hyperparams(project: Mistakes, body: str, words: str) -> None:
    project.write("experiments/mod.py", one(f"{body}\n{TRAINS}"))
    (fault,) = faults(project.refused("run"))
    assert fault.startswith("config/a.json: $.hyperparams: ")
    assert words in fault


RETURNED = {
    "text": (returning('{"loss": "low"}'), "metric 'loss' got a str; a metric is one number"),
    "None as a metric": (returning('{"loss": None}'), "metric 'loss' got a NoneType; a metric is one number"),
    "a list": (returning("[1, 2]"), "train_epoch() returned a list; it returns a mapping of metrics as {'loss': 0.1}"),
    "a number": (returning("0.5"), "train_epoch() returned a float; it returns a mapping of metrics as {'loss': 0.1}"),
    "a generator": (training("yield 1"), "train_epoch() returned a generator; it returns a mapping"),
    "three values": (one(f"{TRAINS}\ndef evaluate(self):\n    return 1, 2, 3"), "evaluate() returned a tuple; it returns a mapping"),
    "a number as a name": (returning("{1: 0.5}"), "train_epoch() returned a metric with the name 1, which is no text; write it as '1'"),
    "a number as a name of evaluate": (
        one(f"{TRAINS}\ndef evaluate(self):\n    return {{1: 0.5}}"),
        "evaluate() returned a metric with the name 1, which is no text; write it as '1'",
    ),
    "a mean and its value": (
        one('def train_epoch(self, epoch):\n    self.mean("loss", 1)\n    return {"loss": 1}'),
        "metric 'loss' was given to mean() and returned as well; do one of the two",
    ),
    "one name from two methods": (
        one('def train_epoch(self, epoch):\n    return {"val_loss": 1}\ndef evaluate(self):\n    return {"loss": 1}'),
        "metric 'val_loss' came from train_epoch() and, with its prefix, from evaluate(); rename one",
    ),
    "a state that is none": (one(f"{TRAINS}\ndef get_state(self):\n    pass"), "get_state() returned None; it returns a mapping"),
    "__init__ without its base": (
        one(f"def __init__(self, config, logger=None):\n    self.size = 1\n{TRAINS}"),
        "One.__init__ does not hand its config on; begin it with super().__init__(config, logger)",
    ),
    "__init__ of another kind": (
        one(f"def __init__(self, config, logger, size):\n    super().__init__(config, logger)\n{TRAINS}"),
        "One.__init__ takes (config, logger, size); write it as __init__(self, config, logger=None), and build the rest in setup()",
    ),
}


@pytest.mark.parametrize(("source", "words"), RETURNED.values(), ids=RETURNED)
def test_what_our_methods_are_given(project: Mistakes, source: str, words: str) -> None:
    project.write("experiments/mod.py", source)
    shown, traceback = project.failed()
    assert f"a: ExperimentError: {words}" in shown
    assert traceback[0].startswith(f"kladml.errors.ExperimentError: {words}")


RAISED = {
    "in setup": (
        one(f'def setup(self):\n    open("nowhere.csv")\n{TRAINS}'),
        "No such file or directory: 'nowhere.csv'",
        'open("nowhere.csv")',
    ),
    "in __init__": (
        one(f'def __init__(self, config, logger=None):\n    super().__init__(config, logger)\n    raise ValueError("no luck")\n{TRAINS}'),
        "ValueError: no luck",
        'raise ValueError("no luck")',
    ),
    "sys.exit in __init__": (
        one(f"def __init__(self, config, logger=None):\n    raise SystemExit(0)\n{TRAINS}"),
        "SystemExit: 0",
        "raise SystemExit(0)",
    ),
    "super().__init__ in another order": (
        one(f"def __init__(self, config, logger):\n    super().__init__(logger, config)\n{TRAINS}"),
        "AttributeError: 'Logger' object has no attribute 'hyperparams'",
        "super().__init__(logger, config)",
    ),
    "in evaluate": (one(f"{TRAINS}\ndef evaluate(self):\n    return 1 / 0"), "ZeroDivisionError: division by zero", "return 1 / 0"),
    "sys.exit": (training("import sys; sys.exit(0)"), "SystemExit: 0", "import sys; sys.exit(0)"),
    "KeyboardInterrupt": (training("raise KeyboardInterrupt"), "KeyboardInterrupt", "raise KeyboardInterrupt"),
    "a hyperparameter that is not there": (training('self.hyperparams["lr"]'), "KeyError: 'lr'", 'self.hyperparams["lr"]'),
    "a hyperparameter set": (
        training('self.hyperparams["lr"] = 1'),
        "copy it first, as in dict(config.hyperparams)",
        'self.hyperparams["lr"] = 1',
    ),
    "steps in steps": (
        training("return [b for _ in self.steps([1]) for b in self.steps([2])]"),
        "steps() was called inside a step: one loop over steps at a time. Walk inner data with a plain for loop.",
        "return [b for _ in self.steps([1]) for b in self.steps([2])]",
    ),
    "an artifact that was not written": (
        training('self.log_artifact("plot.png")'),
        "log_artifact('plot.png'): no such file or folder, seen from ",
        'self.log_artifact("plot.png")',
    ),
    "a metric without a name": (training('self.log_metric("", 1)'), "key is a text that is not empty, found ''", 'self.log_metric("", 1)'),
    "half a step": (
        training('self.log_metric("x", 1, step=0.5)'),
        "is 0.5; a step is an int, or None",
        'self.log_metric("x", 1, step=0.5)',
    ),
}


@pytest.mark.parametrize(("source", "words", "line"), RAISED.values(), ids=RAISED)
def test_what_a_class_raises(project: Mistakes, source: str, words: str, line: str) -> None:
    project.write("experiments/mod.py", source)
    shown, (head, *frames) = project.failed()
    assert words in shown
    assert head.split(": ")[0].rpartition(".")[2] in shown
    assert frames[0].startswith(f'  File "{project.root}/experiments/mod.py", line ')
    assert line == frames[1].strip(), "the user's frames come first"


def test_a_monitored_metric_that_never_comes(project: Mistakes) -> None:
    configure(project, monitor={"metric": "val_loss"})
    project.write("experiments/mod.py", one(TRAINS))
    shown, _ = project.failed()
    assert "monitor.metric is 'val_loss', but epoch 1 recorded no such metric; recorded were: loss. Correct the config, or return" in shown


def test_a_process_that_ends_in_silence_has_not_finished(project: Mistakes) -> None:
    project.write("experiments/mod.py", training("import os; os._exit(0)"))
    shown, traceback = project.failed()
    assert "a: its process ended with exit code 0" in shown
    assert traceback == []


def test_an_attribute_that_no_checkpoint_can_hold_is_listed(project: Mistakes) -> None:
    project.write("experiments/mod.py", one(f"def setup(self):\n    self.stream = lambda: 1\n    self.sizes = [1]\n{TRAINS}"))
    assert "not kept in checkpoints, rebuilt by setup(): stream\n" in project.run("run").expect(0).stderr


def test_a_device_that_this_machine_has_not(project: Mistakes) -> None:
    configure(project, device="cuda:99")
    project.write("experiments/mod.py", training("import torch; self.device"))
    shown, (_, *frames) = project.failed()
    assert "the config asks for device 'cuda:99': " in shown
    assert "Use auto, cpu, or a device that this machine has." in shown
    assert frames[1].strip() == "import torch; self.device"


def test_a_device_without_torch_is_a_word(project: Mistakes) -> None:
    configure(project, device="cuda:99")
    project.write("experiments/mod.py", training('print("device", self.device)'))
    assert "device cuda:99\n" in project.run("run").expect(0).stderr
