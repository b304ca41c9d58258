"""One command, `mematlas`. An error that a user can mend is one line on standard error; --help loads nothing heavy."""

import sys

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

import mematlas
from mematlas.errors import MematlasError

app = App(
    name="mematlas",
    help="Finds out what a language model knows by heart, and why.",
    version=mematlas.__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `run` says what is kept
    default_parameter=Parameter(negative_iterable=()),
)
app.command("mematlas.cli.run:run", name="run")
app.command("mematlas.cli.init:init", name="init")
app.command("mematlas.cli.score:score", name="score")
app.command("mematlas.cli.show:show", name="show")
app.command("mematlas.cli.listing:list_members", name="list")
app.command("mematlas.cli.analyze:analyze", name="analyze")
app.command("mematlas.cli.report:report", name="report")
app.command("mematlas.cli.demo:demo", name="demo")
app.command("mematlas.cli.importing:import_", name="import")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process with 0, 1 (an error to mend), 2 (a wrong option) or 130 (stopped)."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _fail(_one_line(error, arguments), 2)
    except MematlasError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("Stopped. Finished shards are kept; run the same command again to go on.", 130)
    except BrokenPipeError:
        return 0
    return 0


def _one_line(error: CycloptsError, arguments: list[str]) -> str:
    from pydantic import ValidationError

    if isinstance(error.__cause__, ValidationError):
        from mematlas.configuration import explain

        return explain(error.__cause__)
    command = f"{arguments[0]} " if arguments and arguments[0] in app else ""
    return f"{' '.join(str(error).split())} See `mematlas {command}--help`."


def _fail(text: str, code: int) -> int:
    print(f"mematlas: {text}", file=sys.stderr)
    return code
