"""`mematlas explore`."""

from typing import Annotated

from cyclopts import Parameter, validators


def explore(
    study: str,
    *,
    port: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))] = 0,
    browser: bool = True,
    run: str | None = None,
) -> None:
    """Look at the rows of a study in the browser: filter, search and sort them, and read one token by token.

    Example: mematlas explore study

    A server on this machine shows them, to the browser that opens the printed address first, until it is stopped with
    Ctrl+C. Nothing is loaded from, or sent to, other machines.

    Parameters
    ----------
    study
        The folder or URL of a study.
    port
        The port of 127.0.0.1 to serve on; 0 for any that is free.
    browser
        Whether to open the page in a browser at once.
    run
        The start of a run's key, as printed by `mematlas show`; the latest run by default.
    """
    from mematlas.explorer.serving import explore_study

    explore_study(study, port, run, browser)
