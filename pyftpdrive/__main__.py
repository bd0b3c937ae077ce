"""`python -m pyftpdrive`."""

from pyftpdrive.cli import main

if __name__ == "__main__":
    main()
