"""The code of a run: the exact work tree as a commit, what is left out of it, and how two of them differ."""
