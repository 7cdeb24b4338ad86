"""`python -m verifluxa` is `verifluxa`."""

from verifluxa.cli.main import entry

if __name__ == "__main__":
    entry()
