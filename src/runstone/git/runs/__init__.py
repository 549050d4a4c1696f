"""The branch `runs`: its layout, the journals that become its commits, its events, and how two lines of them join."""
