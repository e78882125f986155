"""One config as it is after `extends`: its values, and for each of them the file it came from."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kladml.config.files import Unreadable, read_text
from kladml.config.formats import Malformed, parse
from kladml.config.scan import clean
from kladml.config.words import Path as Place
from kladml.config.words import Problem, kind, render, show
from kladml.records import Fault


@dataclass(slots=True)
class Source:
    """The merged values of a config file and the files that it extends.

    Attributes:
        file: the extending file as the user named it.
        data: the merged values.
        origins: the file that gave each key.
        overrides: the command-line override that gave a key, for those that have one.
        blamed: places that already have a fault.
    """

    file: str | None
    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Place, str] = field(default_factory=dict)
    overrides: dict[Place, str] = field(default_factory=dict)
    blamed: set[Place] = field(default_factory=set)

    def fault(self, problem: Problem) -> Fault:
        """A problem of the merged values, as a fault of the file or override that gave them."""
        prefixes = [problem.path[:length] for length in range(len(problem.path), 0, -1)]
        file = next((self.origins[prefix] for prefix in prefixes if prefix in self.origins), self.file)
        override = next((self.overrides[prefix] for prefix in prefixes if prefix in self.overrides), None)
        message = f"{problem.message} (from the override {override})" if override else problem.message
        return Fault(file=self.file if override else file, path=render(problem.path), message=message)


@dataclass(frozen=True, slots=True)
class _Document:
    file: str
    data: dict[str, Any]


def read_source(path: Path) -> tuple[Source, list[Fault]]:
    """Read a config file and all that it extends.

    Args:
        path: the file as the user named it.

    Returns:
        What could be read, the extending file's values over those that it extends; and the faults. With a fault of a whole file the
        values are incomplete and not worth a look; `data` is empty then.
    """
    chain = _Chain()
    complete = chain.follow(path)
    source = Source(file=str(path), blamed=chain.blamed)
    if complete:
        for document in reversed(chain.documents):
            _merge(source, source.data, document.data, document.file, ())
    return source, chain.faults


class _Chain:
    """A file, the file it extends, the file that one extends, and so on."""

    def __init__(self) -> None:
        self.documents: list[_Document] = []
        self.faults: list[Fault] = []
        self.blamed: set[Place] = set()
        self._files: list[str] = []
        self._real: list[str] = []

    def follow(self, path: Path) -> bool:
        """Read until a file extends no other. False when the values are incomplete."""
        following: Path | None = path
        while following is not None:
            if self._closes(following):
                return False
            data = self._read(following)
            if data is None:
                return False
            base = data.pop("extends", None)
            data.pop("$schema", None)
            if len(self._files) > 1:
                data.pop("name", None)  # a name belongs to one experiment, so it is not inherited
            self.documents.append(_Document(str(following), data))
            if base is not None and not (isinstance(base, str) and base):
                self._add(f"found {show(base)}; allowed: the path of one file, relative to this one", ("extends",))
                return False
            following = None if base is None else Path(os.path.normpath(following.parent / base))
        return True

    def _closes(self, path: Path) -> bool:
        real = os.path.realpath(path) if "\0" not in str(path) else str(path)
        again = real in self._real
        self._real.append(real)
        if again:
            loop = " -> ".join([*self._files, str(path)])
            message = f"files extend each other in a circle: {loop}; remove one extends"
            self.faults.append(Fault(file=self._files[-1], path=render(("extends",)), message=message))
        self._files.append(str(path))
        return again

    def _read(self, path: Path) -> dict[str, Any] | None:
        file = str(path)
        try:
            found = parse(read_text(path, file), path.suffix.lower(), file)
        except (Unreadable, Malformed) as error:
            self.faults.append(self._with_chain(error.fault))
            return None
        data, problems = clean(found)
        self.blamed.update(problem.path for problem in problems)
        self.faults += [self._with_chain(Fault(file=file, path=render(problem.path), message=problem.message)) for problem in problems]
        if any(not problem.path for problem in problems):
            return None
        if not isinstance(data, dict):
            several = "; write one experiment a file" if kind(data) == "a list" else ""
            self._add(f"found {show(data)} at the top; allowed: a mapping, the keys of one experiment{several}", ())
            return None
        return data

    def _add(self, message: str, path: Place) -> None:
        self.faults.append(self._with_chain(Fault(file=self._files[-1], path=render(path), message=message)))

    def _with_chain(self, fault: Fault) -> Fault:
        """Name the way to a file that the user did not name himself."""
        if len(self._files) < 2:
            return fault
        message = f"{fault.message} (extended by {' -> '.join(self._files)})"
        return Fault(file=fault.file, path=fault.path, line=fault.line, column=fault.column, message=message)


def _merge(source: Source, target: dict[str, Any], data: dict[str, Any], file: str, path: Place) -> None:
    for key, value in data.items():
        place = (*path, key)
        source.origins[place] = file
        if isinstance(value, dict):
            below = target.get(key)
            target[key] = below if isinstance(below, dict) else {}
            _merge(source, target[key], value, file, place)
        else:
            target[key] = value
