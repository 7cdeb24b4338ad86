"""The page of `verifluxa watch`: plain HTML without scripts that the browser loads anew, served on 127.0.0.1 alone."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from verifluxa.dispatch.status import PropertyStatus, RunStatus, run_status
from verifluxa.errors import VerifluxaError

REFRESH_SECONDS = 2
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.25rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-bottom: .25rem; }
progress { width: 100%; height: 1.25rem; } table { border-collapse: collapse; }
th { text-align: left; font-weight: normal; padding-right: 1.5rem; } td { font-variant-numeric: tabular-nums; }
"""


def page(found: RunStatus) -> str:
    """The page of a run."""
    again = "" if found.is_over else f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
    facts = [("state", found.state), ("cluster", found.where)]
    if found.left is not None and not found.is_over:
        facts.append(("budget left", f"{found.left:.0f} s"))
    sections = "".join(_section(item) for item in found.properties)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>verifluxa: {escape(found.state)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(found.spec)}</h1>{_table(facts)}{sections or '<p>Nothing has begun yet.</p>'}"
        "</main></body></html>"
    )


def serve(path: Path, port: int, started: Callable[[str], None]) -> None:
    """Serves the page until Ctrl-C.

    Args:
        path: the ledger.
        port: on 127.0.0.1; 0 takes a free one.
        started: is told the address.

    Raises:
        UsageError: VF4424 when the port is taken.
    """
    with server(path, port) as listening:
        started(f"http://127.0.0.1:{listening.server_port}/")
        try:
            listening.serve_forever()
        except KeyboardInterrupt:
            return


def server(path: Path, port: int) -> ThreadingHTTPServer:
    """The server, listening and not yet serving.

    Raises:
        UsageError: VF4424 when the port is taken.
    """
    from verifluxa.errors import UsageError

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Host", "").partition(":")[0] not in ("127.0.0.1", "localhost"):
                self.send_error(HTTPStatus.FORBIDDEN)  # another site's name that was made to point here
            elif self.path != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                self._answer()

        def _answer(self) -> None:
            try:
                body = page(run_status(path)).encode()
            except VerifluxaError as error:
                body = f"<!doctype html><title>verifluxa</title><p>{escape(error.message)}</p>".encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: stderr belongs to the terminal."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Page)
    except OSError as error:
        raise UsageError(
            "VF4424",
            f"port {port} on 127.0.0.1 cannot be used: {error.strerror or error}",
            expected="a free port",
            remedy="leave --port out to take any free one",
        ) from error


def _section(item: PropertyStatus) -> str:
    share = f'<progress max="{item.questions}" value="{item.answered}">{item.answered} of {item.questions}</progress>'
    facts = [("questions answered", f"{item.answered:,} of {item.questions:,}")]
    facts += [(verdict, f"{count:,}") for verdict, count in item.counts.items()]
    facts += [("places attacked", f"{item.attacked:,} of {item.placements:,}"), ("time", f"{item.seconds:.0f} s")]
    if item.worst is not None:
        worst = item.worst
        facts.append(
            ("worst open question", f"{worst.placement}, {worst.violation}: found {float(100 * worst.found):.1f} %")
        )
    return f"<h2>{escape(item.name)}</h2>{share}{_table(facts)}"


def _table(facts: list[tuple[str, str]]) -> str:
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in facts)
    return f"<table>{rows}</table>"
