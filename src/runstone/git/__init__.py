"""Storage: git's objects, refs and processes; `code`, the code of a run; `runs`, the branch that holds the runs."""
