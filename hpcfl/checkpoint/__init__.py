"""Checkpoints: how a run stands between two steps, kept so that a later start goes on from there."""
