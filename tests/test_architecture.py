"""The rules of the house, read from the syntax trees of the source: layers, late imports, one place that writes, one that prints."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import pytest

from support import SOURCE

LAYERS = (
    ("words", "errors records"),
    ("contracts", "interfaces"),
    ("mechanisms", "artifacts carried checkpoint config durable forks heartbeat journal libraries logs monitor processes project"),
    ("mechanisms", "imports registry rundir settings surroundings tail tracebacks rewind walks"),
    ("leaves", "backends integrations testing"),
    ("domain", "attempt catalog cleanup commits context experiment exports ledger loading model outputs plan"),
    ("domain", "outside replay returned saves session stepping"),
    ("order", "crashtest delivery events runner suite supervisor"),
    ("doors", "cli pytest_plugin __main__"),
)
ORDER = list(dict(LAYERS))
LAYER = {part: ORDER.index(layer) for layer, parts in LAYERS for part in parts.split()}

THIRD_PARTY = {
    "click": "cli",
    "msgspec": "config",
    "rich": "cli logs",
    "ruamel": "config settings backends",
    "numpy": "backends integrations testing",
    "torch": "backends integrations testing",
    "sklearn": "backends integrations testing",
    "skops": "backends integrations testing",
    "pytest": "testing pytest_plugin",
}
EAGER = {("cli", "click"), ("testing", "pytest"), ("pytest_plugin", "pytest")}  # decorators; none of these parts is imported by any other
WRITERS = {"durable", "journal", "logs", "heartbeat"}  # the last two write what may be lost
OTHER_WRITES = {("supervisor", "directory.log.open")}  # what a child says before its own log stands
PRINTERS = {"cli", "__main__"}
EXITERS = PRINTERS | {"attempt", "crashtest", "processes"}  # they are entries of processes
WRITING_CALLS = {f"os.{name}" for name in ("rename", "renames", "replace", "fsync", "fdatasync", "link", "symlink", "truncate")}
UNSAFE_MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
UNSAFE_CALLS = {"eval", "exec", "compile", "torch.load"}
HEAVY = {
    *(
        "asyncio",
        "concurrent.futures",
        "email",
        "http",
        "importlib.metadata",
        "multiprocessing",
        "socket",
        "sqlite3",
        "ssl",
        "urllib.request",
    ),
    *("click", "msgspec", "numpy", "rich", "ruamel", "safetensors", "sklearn", "skops", "torch"),
}


@dataclass(frozen=True)
class Import:
    """One imported module: its full name, whether at module level, whether for types only."""

    name: str
    eager: bool
    typing_only: bool
    line: int


def modules() -> dict[str, ast.Module]:
    """Every module of the package by dotted name, root excluded; the files for new projects are no part of it."""
    paths = [path for path in SOURCE.rglob("*.py") if "templates" not in path.parts]
    names = {path: ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__") for path in paths}
    return {name: ast.parse(path.read_text(), str(path)) for path, name in names.items()}


MODULES = modules()
INSIDE = sorted(set(MODULES) - {"kladml"})


def part(module: str) -> str:
    """The file or folder directly under the package that a module belongs to."""
    return module.split(".")[1]


def imports(module: str) -> Iterator[Import]:
    """All imports of a module, those inside functions and those for types included."""

    def walk(node: ast.AST, eager: bool, typing_only: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, eager, typing_only, child.lineno) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module}:{child.lineno}: relative import; write the full name"
                names = (f"{child.module}.{alias.name}" for alias in child.names)
                yield from (Import(n if n in MODULES else str(child.module), eager, typing_only, child.lineno) for n in names)
            else:
                inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
                yield from walk(child, eager and not inside, typing_only or types)

    yield from walk(MODULES[module], True, False)


def calls(module: str) -> Iterator[tuple[str, ast.Call]]:
    """All calls of a module with the dotted name of what is called."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_every_module_has_a_layer() -> None:
    assert {part(name) for name in INSIDE} <= set(LAYER), "give the new module a layer in LAYERS"


@pytest.mark.parametrize("module", INSIDE)
def test_imports_go_downward(module: str) -> None:
    for found in imports(module):
        if found.name.split(".")[0] != "kladml":
            continue
        assert found.name != "kladml", f"{module}:{found.line} imports the package root, which imports everything"
        assert LAYER[part(found.name)] <= LAYER[part(module)], f"{module}:{found.line} imports {found.name} of a higher layer"
        backend = part(found.name) == "backends" != part(module)
        assert not backend, f"{module}:{found.line} imports {found.name}; the registry names backends by string"


def test_no_import_cycles() -> None:
    graph = {module: {i.name for i in imports(module) if i.name in INSIDE and not i.typing_only} - {module} for module in INSIDE}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("module", INSIDE)
def test_third_party_imports_are_late_and_in_their_place(module: str) -> None:
    for found in imports(module):
        library = found.name.split(".")[0]
        if library == "kladml" or library in sys.stdlib_module_names or found.typing_only:
            continue
        assert part(module) in THIRD_PARTY.get(library, "").split(), f"{module}:{found.line} imports {library}"
        late = not found.eager or (part(module), library) in EAGER
        assert late, f"{module}:{found.line} imports {library} at module level; import it inside the function that needs it"


@pytest.mark.parametrize("module", [name for name in INSIDE if part(name) not in WRITERS])
def test_only_the_durable_modules_write_files(module: str) -> None:
    for name, call in calls(module):
        method = name.rpartition(".")[2]
        raw = name in WRITING_CALLS or method in {"write_text", "rename", "hardlink_to", "symlink_to"}
        raw = raw or (method == "write_bytes" and name != "durable.write_bytes" and name != "write_bytes")
        raw = raw or (method == "open" and _opens_for_writing(name, call))
        assert not raw or (part(module), name) in OTHER_WRITES, f"{module}:{call.lineno} calls {name}; files are written by kladml.durable"


def _opens_for_writing(name: str, call: ast.Call) -> bool:
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    if name == "os.open":
        return any(flag in ast.unparse(argument) for argument in arguments for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND"))
    modes = [a.value for a in arguments if isinstance(a, ast.Constant) and isinstance(a.value, str) and set(a.value) <= set("rwxabt+")]
    return any(set(mode) & set("wxa+") for mode in modes)


@pytest.mark.parametrize("module", INSIDE)
def test_only_the_doors_print_or_exit(module: str) -> None:
    for name, call in calls(module):
        assert part(module) in PRINTERS or name != "print", f"{module}:{call.lineno} prints"
        exits = name in {"sys.exit", "os._exit", "exit", "quit", "SystemExit"}
        assert part(module) in EXITERS or not exits, f"{module}:{call.lineno} ends the process"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_that_runs_code_hidden_in_data(module: str) -> None:
    for found in imports(module):
        assert found.name.split(".")[0] not in UNSAFE_MODULES, f"{module}:{found.line} imports {found.name}"
    for name, call in calls(module):
        assert name not in UNSAFE_CALLS, f"{module}:{call.lineno} calls {name}"
        safe = [keyword.arg == "allow_pickle" and ast.unparse(keyword.value) == "False" for keyword in call.keywords]
        assert any(safe) or not name.startswith(("np.load", "np.save", "numpy.load", "numpy.save")), f"{module}:{call.lineno} allows pickle"


def test_the_bare_import_is_light() -> None:
    code = "import sys; before = set(sys.modules); import kladml; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "kladml" in loaded
    assert [name for name in loaded if name in HEAVY or name.split(".")[0] in HEAVY] == []
