"""Experiments of the kind that people write. Nothing in them knows that they are going to be killed."""

from experiments import strikes

strikes.install()
