"""The past of the registry, read from git: the line of changes, the state of a day, who put what where, events."""
