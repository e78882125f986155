"""Values to bytes and back, without pickle: arrays in the safetensors format, everything else as JSON.

Plain values are JSON as they are. What JSON has no word for is an object with the key `$`, which names what it is. Arrays lie in
`arrays.safetensors` under the path of the leaf, as `experiment.model.0.weight`, so that any tool can read them; the JSON holds a reference.
An object that stands in two places is written once; the other place refers to its path.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from kladml.checkpoint.decoder import Decoder
from kladml.checkpoint.digests import digest_of
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.nodes import STRUCTURE, Loaded, Snapshot
from kladml.checkpoint.staging import Staging
from kladml.checkpoint.writers import find_writer
from kladml.errors import CaptureError, CheckpointCorrupt, KladMLError


def encode(state: Mapping[str, Any], staging: Staging | None = None) -> Snapshot:
    """A state as it is now, ready to be written.

    Args:
        state: a mapping of values.
        staging: where to copy arrays; by default a buffer of its own.

    Raises:
        Uncapturable: nobody knows how to keep a value.
    """
    encoder = Encoder(find_writer)
    return encoder.snapshot(encoder.encode(dict(state), ""), staging or Staging())


@dataclass(frozen=True, slots=True)
class Packed:
    """A state that was read and checked, but is no values yet: the classes and codecs that these need may be imported later.

    Attributes:
        structure: the JSON of everything but array elements.
        files: other files by name.
        arrays: arrays by name.
        unchanged: digests of the arrays that were not written, by name.
        disordered: paths of the sets that came to be walked in another order than before, once it is values.
    """

    structure: Any
    files: Mapping[str, bytes]
    arrays: Mapping[str, Loaded]
    unchanged: Mapping[str, str]
    disordered: list[str] = field(default_factory=list)

    def decode(self) -> Any:
        """The tree of values. Arrays are on the CPU, and share their memory with what was read.

        Raises:
            CheckpointCorrupt: the files do not belong together.
            CheckpointMismatch: it holds values of a class that this process has not imported, or has no codec for.
            MissingExtra: a library that the state needs is not installed.
        """
        with _belonging_together():
            return Decoder(self.arrays, self.files, self.unchanged, self.disordered).decode(self.structure)

    def part(self, name: str, without: Collection[str] = ()) -> Any:
        """One entry of the state by itself.

        Args:
            name: its name.
            without: what of it is left out.

        Raises:
            CheckpointCorrupt: there is none, or it refers to what stands elsewhere.
        """
        with _belonging_together():
            node = {key: item for key, item in self.structure[name].items() if key not in without}
            return Decoder(self.arrays, self.files, self.unchanged).decode(node, name)


def unpack(files: Mapping[str, bytes], arrays: Mapping[str, Loaded], unchanged: Mapping[str, str] | None = None) -> Packed:
    """The state that files hold, not turned into values yet.

    Args:
        files: file names to contents, verified already.
        arrays: what `read_arrays` gave, verified already.
        unchanged: digests of the arrays that were not written, by name.

    Raises:
        CheckpointCorrupt: there is no JSON.
    """
    with _belonging_together():
        return Packed(json.loads(files[STRUCTURE]), files, arrays, unchanged or {})


def decode(files: Mapping[str, bytes], arrays: Mapping[str, Loaded], unchanged: Mapping[str, str] | None = None) -> Any:
    """The state that files hold.

    Args:
        files: file names to contents, verified already.
        arrays: what `read_arrays` gave, verified already.
        unchanged: digests of the arrays that were not written, by name.
        disordered: gets the paths of the sets that are walked in another order than when they were written.

    Returns:
        The tree of values. Arrays are new, on the CPU.

    Raises:
        CheckpointCorrupt: the files do not belong together.
        MissingExtra: a library that the state needs is not installed.
    """
    return unpack(files, arrays, unchanged).decode()


@contextmanager
def _belonging_together() -> Iterator[None]:
    """Within this, whatever fails is the files' fault."""
    try:
        yield
    except (KladMLError, MemoryError):
        raise
    except Exception as error:  # whatever a library says to what it did not write
        raise CheckpointCorrupt(f"the state's files do not belong together: {type(error).__name__}: {error}") from error


def copy_of(state: Mapping[str, Any], encoder: Encoder | None = None) -> Any:
    """A state as it would be loaded if it were saved now: it shares nothing that can change with what is there.

    Args:
        state: a mapping of values; with an encoder, what that encoder gave for it.
        encoder: what walked it; by default one that knows values only does it now.
    """
    structure: Any = state
    if encoder is None:
        encoder = Encoder(find_writer)
        structure = encoder.encode(dict(state), "")
    staged = Staging().fill(encoder.arrays)
    arrays = {
        name: Loaded(encoder.arrays[name].dtype, encoder.arrays[name].shape, bytearray(staged.data[a:b]))
        for name, (a, b) in staged.spans.items()
    }
    return Decoder(arrays, encoder.files).decode(structure)


def supports(value: Any) -> bool:
    """Whether `encode` would take a value."""
    try:
        Encoder(find_writer).encode(value, "")
    except CaptureError:
        return False
    return True


def digest(value: Any) -> str:
    """SHA-256 of a value's leaves: equal for equal values, whatever process they are in.

    Raises:
        Uncapturable: nobody knows how to keep it.
    """
    snapshot = encode({"value": value})
    return sha256(json.dumps([snapshot.structure, leaves_of(snapshot)], sort_keys=True).encode()).hexdigest()


def leaves_of(snapshot: Snapshot, arrays: Mapping[str, str] | None = None) -> dict[str, str]:
    """SHA-256 of every leaf, by its path.

    Args:
        snapshot: the state.
        arrays: those of the staged arrays, when they are known already.
    """
    staged = snapshot.staged
    leaves = dict(arrays or {name: digest_of(staged.kinds[name], staged.data[a:b]) for name, (a, b) in staged.spans.items()})
    leaves |= {name: found for name, (_, found) in snapshot.unchanged.items()}
    for path, node in snapshot.plain:
        name = path if path.isascii() else path.encode(errors="backslashreplace").decode()
        while name in leaves:
            name += "'"
        leaves[name] = sha256(json.dumps(node).encode()).hexdigest()
    return leaves
