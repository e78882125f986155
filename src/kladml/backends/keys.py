"""Which buckets and keys a storage accepts."""

from __future__ import annotations

from kladml.errors import InvalidKey

_RULE = "use letters, digits and signs, parts joined by single '/', no '.' or '..' as a part, no backslash, no control character"


def check_key(key: str) -> None:
    """Refuse a key that would mean another place on some storage.

    Args:
        key: the key.

    Raises:
        InvalidKey: it is absolute, empty, not text, or has a part that is empty, `.` or `..`, a backslash or a control character.
    """
    fault = key_fault(key)
    if fault is not None:
        raise InvalidKey(f"the key {key!r} cannot be used: {fault}; {_RULE}")


def check_bucket(bucket: str) -> None:
    """Refuse a bucket that is not one part of a key.

    Args:
        bucket: the bucket.

    Raises:
        InvalidKey: it has a `/` or is not allowed as a key.
    """
    fault = "a bucket has no '/'" if isinstance(bucket, str) and "/" in bucket else key_fault(bucket)
    if fault is not None:
        raise InvalidKey(f"the bucket {bucket!r} cannot be used: {fault}; use one name, as 'outputs'")


def key_fault(key: object) -> str | None:
    """What is wrong with a key, or None."""
    if not isinstance(key, str):
        return f"it is a {type(key).__name__}, not text"
    if not key:
        return "it is empty"
    if key.startswith("/"):
        return "it is absolute"
    if "\\" in key:
        return "it has a backslash, which other systems read as a separator"
    if any(ord(sign) < 32 or ord(sign) == 127 or 0xD800 <= ord(sign) <= 0xDFFF for sign in key):
        return "it has a sign that cannot be written in a name"
    for part in key.split("/"):
        if part in ("", ".", ".."):
            return f"it has the part {part!r}"
    return None
