"""Serves a study until the user stops it."""

import threading
import webbrowser
from contextlib import suppress
from pathlib import Path

from mematlas.errors import MematlasError
from mematlas.explorer.routes import Explorer
from mematlas.explorer.server import ExplorerServer
from mematlas.study import open_study


def explore_study(folder: str | Path, port: int = 0, run: str | None = None, browser: bool = True) -> None:
    """Print the address of the page, open it in a browser if wished, and serve it until Ctrl+C.

    Raises:
        StudyError: there is no such study or run, or nothing of it is finished.
        OptionError: the port cannot be used.
    """
    study = open_study(folder)
    explorer = Explorer(study, run)
    with ExplorerServer(explorer, port) as server:
        print(f"The rows of {study.folder} are at {server.address}", flush=True)
        print("The address works once, in one browser on this machine. Stop with Ctrl+C.", flush=True)
        threading.Thread(target=_prepare, args=(explorer,), daemon=True).start()
        if browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("\nStopped.")


def _prepare(explorer: Explorer) -> None:
    """Read what the first page needs while a browser starts; an error is shown there."""
    with suppress(MematlasError):
        explorer.answer("/api/rows", "")
