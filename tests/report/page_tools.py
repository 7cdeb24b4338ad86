"""What tests of pages share: documents to change, and a strict reader of HTML."""

import json
from html.parser import HTMLParser
from pathlib import Path

VOID = {"br", "col", "img", "link", "meta"}


def changed(source: Path, target: Path, change) -> Path:
    """A copy of a result document after a change to its values."""
    document = json.loads(source.read_text())
    change(document)
    target.write_text(json.dumps(document))
    return target


def many_places(document: dict) -> None:
    """Gives the first property 676 places x 10 targets, all different."""
    item = document["properties"][0]
    item["places"] = [
        {
            "placement": {"row": row, "column": column},
            "target": target,
            "found": f"{(row * column + target) % 60}/100",
            "proved": f"{60 + (row + column + target) % 40}/100",
        }
        for row in range(26)
        for column in range(26)
        for target in range(10)
    ]


class Reader(HTMLParser):
    """Reads a page; every element must be closed by its own end."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def nodes(value, at=()):
    """The way to every value inside a document."""
    yield at
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from nodes(item, (*at, key))


def put(document, at, value):
    """The document with another value in one place."""
    if not at:
        return value
    inner = document
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return document
