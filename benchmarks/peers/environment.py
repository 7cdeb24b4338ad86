"""Makes the environment of a peer under `build/peers/`, once; says why where that is not possible."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build" / "peers"
LIRPA = "auto-LiRPA==0.3"
LIRPA_NEEDS = (
    "torch==2.13.0",
    "numpy",
    "appdirs==1.4.4",
    "ninja==1.13.2",
    "packaging",
    "setuptools",
    "sortedcontainers",
    "tqdm",
)
MARABOU = "maraboupy==2.0.0"
MARABOU_NEEDS = ("numpy", "onnx", "onnxruntime")
VIBECHECK = "vibecheck-nn==1.1.0"
VIBECHECK_NEEDS = ("torch==2.13.0",)
INSTALL_SECONDS = 1200


class NotInstalled(Exception):
    """The peer cannot be had here; the message says why."""


def lirpa_python() -> Path:
    """The interpreter of auto-LiRPA's environment, which is made on the first call.

    Raises:
        NotInstalled: where the package index cannot be reached or does not have the packages.
    """
    # Its metadata ask for torch < 1.13; what it really needs stands in lirpa_adaptations.py.
    return _made("lirpa", ["-c", str(ROOT / "constraints.txt"), *LIRPA_NEEDS], ["--no-deps", LIRPA])


def marabou_python() -> Path:
    """The interpreter of Marabou's environment, likewise."""
    return _made("marabou", ["-c", str(ROOT / "constraints.txt"), *MARABOU_NEEDS, MARABOU])


def vibecheck_python() -> Path:
    """The interpreter of vibecheck's environment, likewise; it asks for versions of ONNX of its own."""
    return _made("vibecheck", [*VIBECHECK_NEEDS, VIBECHECK])


def _made(name: str, *installs: list[str]) -> Path:
    folder = PLACE / name
    python = folder / "bin" / "python"
    done = folder / ".installed"
    if done.exists():
        return python
    print(f"making the environment of {name} in {folder.relative_to(ROOT)} ...", file=sys.stderr)
    _call([sys.executable, "-m", "venv", "--clear", str(folder)])
    for packages in installs:
        _call([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    done.touch()
    return python


def _call(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"the installation took longer than {INSTALL_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        raise NotInstalled(_reason(error.stderr or error.stdout or "")) from error


def _reason(output: str) -> str:
    errors = [line for line in output.splitlines() if line.startswith("ERROR")]
    return (errors or output.strip().splitlines()[-1:] or ["the command failed"])[0]
