"""Writes what the commands print today into the console blocks that differ: `python -m tests.docs.rewrite PAGE...`.

Look at the difference before you commit it. Blocks that match, with their `...`, stay as they are.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.docs.blocks import ROOT, Block, Step, blocks, pattern, steps
from tests.docs.session import Finished, Session


def rewritten(path: Path, session: Session) -> str:
    """The text of a page with its blocks as they come out."""
    text = path.read_text(encoding="utf-8")
    for block in blocks(path):
        if block.reason is not None:
            continue
        for command in block.first:
            session.execute(Step(command, ""))
        if block.kind == "console":
            text = text.replace(block.text, _console(block, session), 1)
        elif block.kind == "pycon":
            try:
                session.python(block.text)
            except AssertionError as error:
                print(error, file=sys.stderr)
    return text


def _console(block: Block, session: Session) -> str:
    lines = []
    for step in steps(block.text):
        printed = "".join(line.rstrip() + "\n" for line in session.execute(step).splitlines())
        shown = step.printed if pattern(step.printed).fullmatch(printed) else printed
        lines.append(
            f"$ {step.command}\n".replace("\n", "\n> ", step.command.count("\n")).replace("> \n", ">\n") + shown
        )
    return "".join(lines)


def main() -> None:
    """Each page in a folder of its own."""
    pages = [Path(name).resolve() for name in sys.argv[1:]]
    os.environ.update(COLUMNS="100", NO_COLOR="1")
    with tempfile.TemporaryDirectory() as place:
        finished = Finished(Path(place) / "finished")
        finished.folder.mkdir()
        for number, path in enumerate(pages):
            folder = Path(place) / str(number) / "here"
            folder.mkdir(parents=True)
            os.chdir(folder)
            session = Session(folder, finished)
            session.prepare()
            began = time.process_time()
            path.write_text(rewritten(path, session), encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: {time.process_time() - began:.1f} CPU s")


if __name__ == "__main__":
    main()
