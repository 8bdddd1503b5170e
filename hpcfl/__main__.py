"""`python -m hpcfl` is the command `hpcfl`."""

from hpcfl.cli import main

if __name__ == "__main__":
    main()
