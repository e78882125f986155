"""From a path to text: every way in which a file cannot be read is a fault, and nothing large is read to find that out."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kladml.config.words import nearest, suggest, with_hint
from kladml.records import Fault

MAX_BYTES = 16 << 20
EXTENSIONS = (".json", ".yaml", ".yml", ".toml")
_ALLOWED = ", ".join(EXTENSIONS)


class Unreadable(Exception):
    """A file that cannot be used; carries the one fault that says why."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))


def read_text(path: Path, file: str) -> str:
    """Read a config file.

    Args:
        path: the file.
        file: its name as the user gave it, for messages.

    Returns:
        Its text, without a byte order mark.

    Raises:
        Unreadable: it is absent, no file, too large, forbidden, of unknown extension, empty, or not UTF-8.
    """
    try:
        _check_kind(path, path.stat(), file)
        data = _read_bytes(path, file)
    except (OSError, ValueError) as error:
        raise Unreadable(_cannot_read(path, file, error)) from None
    text = _decode(data, file)
    if not text.strip():
        raise Unreadable(Fault(file=file, message='the file is empty; a config needs at least {"model_type": "..."}'))
    return text


def _check_kind(path: Path, status: os.stat_result, file: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise Unreadable(Fault(file=file, message=f"found a folder; allowed here: one file ({_ALLOWED})"))
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(Fault(file=file, message=f"found a pipe, socket or device; allowed: an ordinary file ({_ALLOWED})"))
    if path.suffix.lower() not in EXTENSIONS:
        found = f"found the extension '{path.suffix}'" if path.suffix else "found no extension"
        raise Unreadable(Fault(file=file, message=with_hint(f"{found}; allowed: {_ALLOWED}", suggest(path.suffix, EXTENSIONS))))
    _check_size(status.st_size, file)


def _read_bytes(path: Path, file: str) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    _check_size(len(data), file)
    return data


def _check_size(size: int, file: str) -> None:
    if size > MAX_BYTES:
        found = f"found {size / (1 << 20):,.1f} MiB; allowed: at most {MAX_BYTES >> 20} MiB"
        raise Unreadable(Fault(file=file, message=f"{found}; put data into the dataset and its path into dataset_path"))


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        found = "found UTF-16 text" if utf16 else f"found the byte 0x{error.object[error.start]:02x}, which is not UTF-8"
        message = f"{found}; allowed: UTF-8; save the file as UTF-8"
        raise Unreadable(Fault(file=file, line=before.count(b"\n") + 1, column=column, message=message)) from None


def _cannot_read(path: Path, file: str, error: OSError | ValueError) -> Fault:
    if isinstance(error, FileNotFoundError):
        return Fault(file=file, message=with_hint("no such file or folder", _nearest(path) or _way_out(path)))
    if isinstance(error, PermissionError):
        return Fault(file=file, message="permission denied; make the file readable, as with chmod u+r")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Fault(file=file.replace("\0", "\\0"), message=f"cannot be read: {reason}")


def _way_out(path: Path) -> str:
    if len(path.parts) > 1 or path.suffix.lower() in EXTENSIONS:
        return "correct the path"
    return "give a file or a folder of configs, or KEY=VALUE to change a value"


def _nearest(path: Path) -> str:
    try:
        names = sorted(os.listdir(path.parent))
    except (OSError, ValueError):
        near = _nearest(path.parent) if path.parent.parent.is_dir() else ""
        return with_hint(f"there is no folder '{path.parent}', or it cannot be read", near)
    # Stems are compared: every name here ends in the same few extensions, which would make all of them look near.
    stems = {Path(name).stem: name for name in names if Path(name).suffix.lower() in EXTENSIONS or not Path(name).suffix}
    found = nearest(path.stem, stems)
    return "" if found is None else f"did you mean '{stems[found]}'?"
