"""Storage: records in git, written beside the user's work, never through it."""
