"""`python -m mtpsync`."""

from mtpsync.cli import main

if __name__ == "__main__":
    main()
