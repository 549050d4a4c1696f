"""`python -m runstone`: the command line, where its script is not on the PATH."""

from runstone.cli import main

main()
