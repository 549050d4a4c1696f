"""The version of Runstone, read by the build and by `runstone --version`."""

__version__ = "0.1.0"
