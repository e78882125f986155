"""Checkpoints that somebody made up to run code, to read or overwrite other files, or to use up the machine. Their manifests are valid."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from kladml.checkpoint import digests, reading
from kladml.errors import CheckpointError

MARKER = "executed"
Build = Callable[[Path], None]


def sign(folder: Path, files: dict[str, bytes], /, **changes: Any) -> None:
    """Write the files of a commit, and a manifest that fits them and itself.

    Args:
        folder: the commit's; its name is its number.
        files: contents by name; names that lead elsewhere are not written.
        changes: what else to say in the manifest; `summary` is added to each file's.
    """
    folder.mkdir(parents=True)
    summary = changes.pop("summary", {})
    for name, data in files.items():
        if "/" not in name and "\0" not in name and name not in (".", "..", ""):
            (folder / name).write_bytes(data)
    entries = {name: {"size": len(data), "sha256": sha256(data).hexdigest(), **summary} for name, data in files.items()}
    leaves = {}
    with contextlib.suppress(CheckpointError):
        data = files.get("arrays.safetensors", b"")
        begin = 8 + int.from_bytes(data[:8], "little")
        for name, one in reading.parse_header(data[8:begin], len(data) - begin).items():
            leaves[name] = digests.digest_of(f"{one.dtype}{list(one.shape)}", data[begin + one.start : begin + one.end])
    manifest = {"format": 1, "number": int(folder.name), "files": entries, "rebuilt": [], "leaves": leaves, **changes}
    seal(folder, manifest)


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """Write a manifest with the digest of itself."""
    manifest = {key: value for key, value in manifest.items() if key != "digest"}
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    (folder / "manifest.json").write_text(json.dumps({**manifest, "digest": sha256(text.encode()).hexdigest()}))


class Gadget:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {MARKER}",)


def state(text: str | bytes, **files: bytes) -> Build:
    """A commit with this `state.json`; `arrays` and `object` are its other files."""
    data = text.encode() if isinstance(text, str) else text
    more = {"arrays.safetensors": files["arrays"]} if "arrays" in files else {}
    more |= {"object-0.skops": files["object"]} if "object" in files else {}
    return lambda folder: sign(folder, {"state.json": data, **more})


def tensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def node(**content: Any) -> str:
    """A state of one tagged value."""
    return json.dumps({"x": {"$" if key == "word" else key: value for key, value in content.items()}})


CLASSES = [
    *(
        "subprocess:Popen",
        "os:_wrap_close",
        "os:system",
        "posix:system",
        "builtins:eval",
        "builtins:exec",
        "builtins:object",
        "builtins:type",
    ),
    *("importlib:import_module", "pickle:Unpickler", "ctypes:CDLL", "sys:modules", "os:stat_result", "tempfile:TemporaryDirectory"),
    *("numpy:load", "torch:load", "this:that", "antigravity:x", "", ":", "os:environ.data", "kladml.checkpoint.store:CheckpointStore"),
]


def classes() -> Iterator[tuple[str, Build]]:
    """Nodes that name a class."""
    for name in CLASSES:
        yield f"enum {name}", state(node(word="enum", value={"$": "tuple", "items": [name, "x"]}))
        yield f"flag {name}", state(node(word="flag", value={"$": "tuple", "items": [name, 1]}))
        yield f"namedtuple {name}", state(node(word="namedtuple", value={"$": "tuple", "items": [name, [f"touch {MARKER}"]]}))
        yield f"record {name}", state(node(**{"word": "record", "class": name, "fields": {"args": [f"touch {MARKER}"]}}))
        yield f"registered {name}", state(node(word="registered", type=name, value=[f"touch {MARKER}"]))
    yield "record fields", state(node(**{"word": "record", "class": "kladml.records:Progress", "fields": {"epoch": 1, "other": 1}}))
    yield "record list", state(node(**{"word": "record", "class": "kladml.records:Progress", "fields": [1]}))
    yield "word eval", state(node(word="eval", value=f"open('{MARKER}', 'w')"))
    yield "word os.system", state(node(word="os.system", value=f"touch {MARKER}"))
    yield "word numpy.load", state(node(word="numpy.load", array="x"))
    yield "word torch.load", state(node(word="torch.load", array="x"))
    yield "word sklearn.load", state(node(word="sklearn.load", file="state.json"))
    yield "defaultdict", state(node(word="defaultdict", head="os.system", value={}))


def bombs() -> Iterator[tuple[str, Build]]:
    """JSON that is too deep, too long, or none."""
    for text in ("", "{", "nul", "[1,", "\xff\xfe", '{"x": 1} 2', '{"x": "\\ud8"}', "{'x': 1}", "\x00", "9" * 5000):
        yield f"json {text[:9]!r}", state(text.encode("latin-1"))
    for left, right in (("[", "]"), ('{"a":', "}"), ('{"$":"tuple","items":[', "]}"), ('{"$":"set","value":', "}")):
        for levels in (3_000, 200_000):
            yield f"deep {left} {levels}", state(left * levels + "1" + right * levels)
    yield "hex", state(node(word="int", hex="0x" + "g" * 100_000))
    yield "bits", state(node(word="float", bits="00"))
    yield "bits more", state(node(word="float", bits="00" * 5000))
    yield "maxlen", state(node(word="deque", head=-1, value=[]))
    yield "range", state(node(word="range", value={"$": "tuple", "items": [0, 1, 0]}))
    yield "date", state(node(word="date", value="2024-99-99"))
    yield "zone", state(node(word="zone", value="../../../etc/passwd"))
    yield "zone absolute", state(node(word="zone", value="/etc/passwd"))
    yield "decimal", state(node(word="decimal", value="1" * 100 + "x"))
    yield "fraction", state(node(word="fraction", value={"$": "tuple", "items": [1, 0]}))
    yield "timedelta", state(node(word="timedelta", value={"$": "tuple", "items": [10**18, 0, 0]}))
    yield "bytes", state(node(word="bytes", value="!!!"))
    yield "uuid", state(node(word="uuid", value="x"))
    yield "path", state(node(word="path", value=5))
    yield "unhashable", state(node(word="set", value=[[1]]))
    yield "unhashable key", state(node(word="dict", items=[[[1], 2]]))
    yield "pairs", state(node(word="dict", items=[[1]]))
    yield "same", state(node(word="same", path="nowhere"))
    yield "same list", state(node(word="same", path=[1]))
    yield "random", state(node(word="random", value={"$": "tuple", "items": [3, [1], None]}))
    yield "no value", state(node(word="tuple"))
    yield "number", state(node(word=5))
    yield "part", state(node(word="part", kind="module"))


FOUR = tensors({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0\0\0\0")
EIGHT = tensors({"x": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}, b"\0" * 8)


def arrays() -> Iterator[tuple[str, Build]]:
    """Arrays whose types or shapes lie."""
    for dtype in ("O", "|O", "O8", "object", "V8", "f8,O", [["a", "O"]], "rocket", "f8", "<f2", "", None, 5):
        yield f"numpy {dtype}", state(node(word="numpy.array", array="x", dtype=dtype, shape=[1]), arrays=FOUR)
    for shape in ([2], [-1, 7], [10**12], [10**30], "x", [1.5], {"a": 1}, [0]):
        yield f"numpy shape {shape}", state(node(word="numpy.array", array="x", dtype="<f4", shape=shape), arrays=FOUR)
        yield f"torch shape {shape}", state(node(word="torch.tensor", array="x", dtype="float32", shape=shape), arrays=FOUR)
    for dtype in ("load", "float64", "Tensor", "os", "", None, "nn", "quint8x"):
        yield f"torch {dtype}", state(node(word="torch.tensor", array="x", dtype=dtype, shape=[1]), arrays=FOUR)
    yield "numpy gone", state(node(word="numpy.array", array="y", dtype="<f4", shape=[1]), arrays=FOUR)
    yield "torch gone", state(node(word="torch.tensor", array="y", dtype="float32", shape=[1]), arrays=FOUR)
    yield "torch stride", state(node(word="torch.tensor", array="x", dtype="float32", shape=[1, 2], stride=[1, -1]), arrays=EIGHT)
    yield "torch stride long", state(node(word="torch.tensor", array="x", dtype="float32", shape=[1, 2], stride=[1, 10**13]), arrays=EIGHT)
    yield "torch strides", state(node(word="torch.tensor", array="x", dtype="float32", shape=[1], stride=[1, 1, 1]), arrays=FOUR)
    yield "torch leaf", state(node(word="torch.tensor", array="x", dtype="int32", shape=[1], parameter=True, grad=True), arrays=FOUR)
    yield "torch device", state(node(word="torch.device", name="rocket:1"))
    yield (
        "torch generator",
        state(
            node(word="torch.generator", device="cpu", state={"$": "torch.tensor", "array": "x", "dtype": "uint8", "shape": [8]}),
            arrays=EIGHT,
        ),
    )
    yield "numpy generator", state(node(word="numpy.generator", state={"bit_generator": "os.system", "state": {}}))
    yield (
        "numpy position",
        state(node(word="numpy.random_state", state={"bit_generator": "MT19937", "state": {"key": [1] * 624, "pos": 10**9}})),
    )


def headers() -> Iterator[tuple[str, Build]]:
    """Files that are none in the safetensors format."""
    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    whole = json.dumps(one)
    found = {
        "empty": b"",
        "short": b"\1\0\0",
        "length": tensors({"x": one}, b"\0" * 4, 1 << 62),
        "length 100 MB": tensors({"x": one}, b"\0" * 4, 100_000_000),
        "length minus": struct.pack("<q", -1) + b"{}",
        "no json": tensors(b"{", b"\0" * 4),
        "no text": tensors(b'{"\xff": 1}', b"\0" * 4),
        "list": tensors([1]),
        "deep": tensors(b"[" * 100_000),
        "twice": tensors(f'{{"x":{whole},"x":{whole}}}'.encode(), b"\0" * 8),
        "overlap": tensors({"x": one, "y": one}, b"\0" * 4),
        "hole": tensors({"x": one, "y": {**one, "data_offsets": [8, 12]}}, b"\0" * 12),
        "rest": tensors({"x": one}, b"\0" * 12),
        "beyond": tensors({"x": {**one, "data_offsets": [0, 400]}}, b"\0" * 4),
        "backwards": tensors({"x": {**one, "data_offsets": [4, 0]}}, b"\0" * 4),
        "minus": tensors({"x": {**one, "data_offsets": [-4, 0]}}, b"\0" * 4),
        "shape": tensors({"x": {**one, "shape": [1 << 40, 1 << 40]}}, b"\0" * 4),
        "shape minus": tensors({"x": {**one, "shape": [-1]}}, b"\0" * 4),
        "dtype": tensors({"x": {**one, "dtype": "O"}}, b"\0" * 4),
        "dtype wide": tensors({"x": {**one, "dtype": "F64"}}, b"\0" * 4),
        "no dtype": tensors({"x": {"shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
        "zip": b"PK\3\4" + b"\0" * 40,
        "npy": b"\x93NUMPY\1\0\x08\0{'descr'",
    }
    for name, data in found.items():
        yield f"header {name}", state(node(word="numpy.array", array="x", dtype="<f4", shape=[1]), arrays=data)


def pickles() -> Iterator[tuple[str, Build]]:
    """Pickles under the names of our files."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(Gadget(), protocol)
        yield f"pickle state {protocol}", state(data)
        yield f"pickle arrays {protocol}", state(node(word="numpy.array", array="x", dtype="<f4", shape=[1]), arrays=data)
        yield f"pickle object {protocol}", state(ESTIMATOR, object=data)
        yield f"pickle manifest {protocol}", lambda folder, data=data: _bare(folder, data)
    stream = io.BytesIO()
    np.save(stream, np.array([Gadget()], dtype=object), allow_pickle=True)
    yield "pickle in npy", state(ESTIMATOR, object=archive(array_node("x.npy"), {"x.npy": stream.getvalue()}))
    yield "pickle in array", state(node(word="numpy.array", array="x", dtype="|O", shape=[1]), arrays=EIGHT)


def _bare(folder: Path, data: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(data)


ESTIMATOR = node(word="sklearn.estimator", file="object-0.skops")


def archive(schema: Any, members: dict[str, bytes] | None = None, packed: int = zipfile.ZIP_STORED) -> bytes:
    """A skops file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packed) as file:
        for name, data in (members or {}).items():
            file.writestr(name, data)
        file.writestr("schema.json", schema if isinstance(schema, bytes) else json.dumps({**schema, "protocol": 2}))
    return stream.getvalue()


def plain(value: Any, ident: int = 0) -> dict[str, Any]:
    """A node of a plain value."""
    return {
        "__class__": "str",
        "__module__": "builtins",
        "__loader__": "JsonNode",
        "content": json.dumps(value),
        "is_json": True,
        "__id__": ident,
    }


def several(*items: Any, kind: str = "tuple") -> dict[str, Any]:
    """A node of a tuple or list."""
    return {"__class__": kind, "__module__": "builtins", "__loader__": f"{kind.title()}Node", "content": list(items)}


def named(name: str, loader: str, **content: Any) -> dict[str, Any]:
    """A node that names something."""
    module, _, word = name.rpartition(".")
    return {"__class__": word, "__module__": module, "__loader__": loader, **content}


def array_node(file: str, ident: int = 7, **changes: Any) -> dict[str, Any]:
    """A node of an array in a member."""
    return {
        "__class__": "ndarray",
        "__module__": "numpy",
        "__loader__": "NdArrayNode",
        "type": "numpy",
        "file": file,
        "__id__": ident,
        **changes,
    }


def estimators() -> Iterator[tuple[str, Build]]:
    """Files of estimators that name what they should not, or unpack to too much."""
    command = several(plain(f"touch {MARKER}"))
    names = [
        *("os.system", "posix.system", "builtins.eval", "builtins.exec", "builtins.open", "subprocess.Popen", "subprocess.check_output"),
        *("numpy.load", "numpy.save", "numpy.fromfile", "numpy.memmap", "numpy.mean", "numpy.testing.rundocs", "numpy.f2py.compile"),
        *(
            "scipy.io.loadmat",
            "scipy._lib._util.getfullargspec_no_self",
            "sklearn.datasets.fetch_openml",
            "sklearn.utils._testing.assert_run_python_script",
        ),
        *("sklearn.externals._numpydoc.x", "sklearn.conftest.x", "sklearn.datasets._base.load_files", "sklearn.base.clone", "joblib.load"),
        *("sklearn.utils.validation.check_array", "sklearn.utils._estimator_html_repr.x", "importlib.import_module", "shutil.rmtree"),
    ]
    for name in names:
        yield f"skops reduce {name}", state(ESTIMATOR, object=archive(named(name, "ConstructorFromReduceNode", content=command)))
        yield (
            f"skops loss {name}",
            state(ESTIMATOR, object=archive(named(name, "LossNode", __reduce__={"args": command}, content=plain({})))),
        )
        yield f"skops object {name}", state(ESTIMATOR, object=archive(named(name, "ObjectNode", content=plain({"a": 1}))))
    for name in names[:8]:
        inner = {**named("sklearn.preprocessing._function_transformer.FunctionTransformer", "ObjectNode")}
        inner["content"] = named("builtins.dict", "DictNode", key_types=several(kind="list"), content={"func": named(name, "FunctionNode")})
        yield f"skops function {name}", state(ESTIMATOR, object=archive(inner))
    partial = {"func": named("os.system", "FunctionNode"), "args": command, "kwds": plain({}), "namespace": plain(None)}
    yield "skops partial", state(ESTIMATOR, object=archive(named("functools.partial", "PartialNode", content=partial)))
    method = {"func": "__reduce__", "obj": plain("x")}
    yield "skops method", state(ESTIMATOR, object=archive(named("builtins.str", "MethodNode", content=method)))
    caller = named("operator.methodcaller", "OperatorFuncNode", attrs=several(plain("system"), plain("x")))
    yield "skops caller", state(ESTIMATOR, object=archive(caller))
    yield "skops type", state(ESTIMATOR, object=archive(named("builtins.eval", "TypeNode")))
    yield "skops dict", state(ESTIMATOR, object=archive(plain({"a": 1})))
    yield "skops loader", state(ESTIMATOR, object=archive(named("os.system", "RocketNode")))
    yield "skops old", state(ESTIMATOR, object=archive(b'{"protocol": -1}'))
    yield "skops new", state(ESTIMATOR, object=archive(b'{"protocol": 99}'))
    yield "skops cached", state(ESTIMATOR, object=archive(named("a.b", "CachedNode", __id__=5)))
    yield "skops deep", state(ESTIMATOR, object=archive(b"[" * 100_000))
    yield "skops empty", state(ESTIMATOR, object=b"")
    yield "skops no zip", state(ESTIMATOR, object=b"PK" + b"\0" * 100)
    yield "skops no schema", state(ESTIMATOR, object=_zip({"other": b""}))
    yield "skops absent", state(ESTIMATOR)
    yield "skops other file", state(node(word="sklearn.estimator", file="../../secret.skops"))
    zeros = io.BytesIO()
    np.save(zeros, np.zeros(4_000_000))
    yield "skops packed", state(ESTIMATOR, object=archive(array_node("x.npy"), {"x.npy": zeros.getvalue()}, zipfile.ZIP_DEFLATED))
    many = several(*(array_node("x.npy", number) for number in range(2000)), kind="list")
    yield "skops many", state(ESTIMATOR, object=archive(many, {"x.npy": zeros.getvalue()[:1_000_000]}))
    head = b"\x93NUMPY\1\0v\0" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117) + b"\n"
    yield "skops claim", state(ESTIMATOR, object=archive(array_node("x.npy"), {"x.npy": head}))
    sparse = _zip({"data.npy": zeros.getvalue() * 8}, zipfile.ZIP_DEFLATED)
    bomb = {**named("scipy.sparse._csr.csr_matrix", "SparseMatrixNode"), "type": "scipy", "file": "x.npz", "__id__": 1}
    yield "skops sparse", state(ESTIMATOR, object=archive(bomb, {"x.npz": sparse}))
    real = skops.io.dumps(FunctionTransformer(np.log1p)).replace(b'"log1p"', b'"loads"')
    yield "skops changed", state(ESTIMATOR, object=real)


def _zip(members: dict[str, bytes], packed: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packed) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


def manifests() -> Iterator[tuple[str, Build]]:
    """Manifests that lead elsewhere, lie, or are none."""
    plain_state = {"state.json": b"{}"}
    for name in (
        "../x",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "x\0y",
        "",
        ".",
        "..",
        "state.json ",
        "object-0.skops/..",
        "ä",
        "con",
        "~",
    ):
        yield f"manifest name {name!r}", lambda folder, name=name: sign(folder, {**plain_state, name: b"x"})
    lies: dict[str, dict[str, Any]] = {
        "size more": {"summary": {"size": 10**15}},
        "size less": {"summary": {"size": 1}},
        "size minus": {"summary": {"size": -1}},
        "size text": {"summary": {"size": "2"}},
        "size none": {"summary": {"size": None}},
        "digest": {"summary": {"sha256": "0" * 64}},
        "digest list": {"summary": {"sha256": [1]}},
        "header": {"summary": {"header_size": -1}},
        "header text": {"summary": {"header_size": "x"}},
        "files list": {"files": [1]},
        "files none": {"files": None},
        "files empty": {"files": {}},
        "file text": {"files": {"state.json": "x"}},
        "leaves list": {"leaves": [1]},
        "leaves numbers": {"leaves": {"a": 1}},
        "rebuilt text": {"rebuilt": "abc"},
        "rebuilt lists": {"rebuilt": [[1]]},
        "number": {"number": 7},
        "number text": {"number": "1"},
        "format": {"format": 99},
        "format text": {"format": "1"},
        "format list": {"format": [1]},
    }
    for name, changes in lies.items():
        yield f"manifest {name}", lambda folder, changes=changes: sign(folder, dict(plain_state), **changes)
    for text in (b"", b"{", b"null", b"[]", b"5", b'"x"', b"[" * 200_000, b'{"format": 1}', b'{"format": 1, "digest": 5}', b"\xff" * 100):
        yield f"manifest text {text[:9]!r}", lambda folder, text=text: _bare(folder, text)


def planted() -> Iterator[tuple[str, Build]]:
    """Links, pipes and folders where files should be."""
    for name in ("state.json", "manifest.json", "arrays.safetensors"):
        yield f"link {name}", lambda folder, name=name: _replace(folder, name, lambda path, aside: path.symlink_to(aside))
        yield f"pipe {name}", lambda folder, name=name: _replace(folder, name, lambda path, aside: os.mkfifo(path))
        yield f"folder {name}", lambda folder, name=name: _replace(folder, name, lambda path, aside: path.mkdir())
    yield "link loop", lambda folder: _replace(folder, "state.json", lambda path, aside: path.symlink_to(path))
    yield "link folder", _linked_folder


def _replace(folder: Path, name: str, plant: Callable[[Path, Path], None]) -> None:
    """A good commit with one of its files put aside, and something else in its place."""
    sign(folder, {"state.json": node(word="numpy.array", array="x", dtype="<f4", shape=[1]).encode(), "arrays.safetensors": FOUR})
    aside = folder.parent.parent / f"aside-{name}"
    (folder / name).rename(aside)
    plant(folder / name, aside)


def _linked_folder(folder: Path) -> None:
    aside = folder.parent.parent / "aside" / folder.name
    sign(aside, {"state.json": b"{}"})
    folder.parent.mkdir(parents=True)
    folder.symlink_to(aside)


CASES: dict[str, Build] = dict(
    case for make in (classes, bombs, arrays, headers, pickles, estimators, manifests, planted) for case in make()
)
GOOD: Build = state(ESTIMATOR, object=skops.io.dumps(LogisticRegression()))
