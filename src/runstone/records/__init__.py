"""The formats: pure values that know nothing of git or the network. See schemas/README.md."""
