"""Proof on the user's own experiment: it is killed at counted events, continued by the same command, and compared with undisturbed runs."""
