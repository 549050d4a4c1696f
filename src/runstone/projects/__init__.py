"""Runs as things to do again: check out what a run was, rebuild what it ran on, execute it once more."""
