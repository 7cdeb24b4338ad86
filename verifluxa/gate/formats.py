"""The formats of a decision; apart from what writes them, so that the command line starts quickly."""

from enum import StrEnum


class Format(StrEnum):
    """What stands on stdout."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"
