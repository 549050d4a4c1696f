"""Queries over runs and experiments: a derived, disposable SQLite mirror of git and the live journals."""
