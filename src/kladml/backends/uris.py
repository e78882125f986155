"""What the built-in backends read from the URI and the options of a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kladml.errors import SettingsError
from kladml.settings import mask_uri


def path_of(uri: str, default: str) -> Path:
    """The path that a URI names.

    `file:///a` and `file:/a` are absolute; `file:a`, `file://a` and `file:./a` are relative; a bare path is itself. SQLAlchemy's
    way of writing is followed for `sqlite`: `sqlite:///a` is relative, `sqlite:////a` absolute.

    Args:
        uri: the URI, or a short name.
        default: the path when the URI holds none.

    Returns:
        The path, not resolved.

    Raises:
        SettingsError: it holds a user or password, which would become part of a folder's name.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon:
        return Path(uri if "/" in uri or uri.startswith((".", "~")) else default).expanduser()
    if "/" in scheme or scheme.startswith("."):
        return Path(uri)
    if rest.startswith("//") and "@" in rest[2:].partition("/")[0]:
        raise SettingsError(f"{mask_uri(uri)}: a path has no user and no password; write {scheme}:///path")
    rest = rest.removeprefix("///" if scheme == "sqlite" else "//")
    return Path(unquote(rest) or default).expanduser()


def take_options(uri: str, options: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    """The options, once all of them are known.

    Args:
        uri: the URI, for the message.
        options: what the setting holds beside the URI.
        allowed: the names that this backend knows.

    Returns:
        A copy of the options.

    Raises:
        SettingsError: a name is not known.
    """
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        known = f"it knows {', '.join(allowed)}" if allowed else "it takes none"
        raise SettingsError(f"{mask_uri(uri)}: unknown option {', '.join(map(repr, unknown))}; {known}. Correct or remove it.")
    return dict(options)
