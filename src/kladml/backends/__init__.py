"""Implementations of the interfaces, one class a file. They are created by `kladml.registry`, which names them by text."""
