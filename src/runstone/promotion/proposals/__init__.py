"""Proposals: one branch with one commit each, from the wish to the merge."""
