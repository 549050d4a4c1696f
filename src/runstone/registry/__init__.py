"""The registry: model versions are git tags, aliases files on the default branch; its state is a function of both."""
