"""Checkpoints: what a state is made of (`capture`, `rng`), how it becomes bytes (`codec`), and how bytes become a commit (`store`)."""
