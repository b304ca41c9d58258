"""The command `mematlas`. Errors that users can fix are one line on standard error; --help imports no heavy library."""

import ast
import sys
from pathlib import Path
from typing import Literal

from cyclopts import App, Group, Parameter
from cyclopts.completion.detect import ShellDetectionError
from cyclopts.exceptions import CycloptsError, UnknownOptionError

import mematlas
from mematlas.errors import MematlasError, OptionError, UnknownName, did_you_mean, explain
from mematlas.errors.libraries import missing_libraries
from mematlas.errors.remedies import command_line
from mematlas.executors.allocation import keep_freed_memory
from mematlas.io.paths import unreachable_message

app = App(
    name="mematlas",
    help="Finds out what a language model knows by heart, and why.",
    version=mematlas.__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `run` prints a message of its own
    default_parameter=Parameter(negative_iterable=()),
)
#: section of the help -> command -> (module of cli/commands, function), imported when the command is called. A command
#: of two words is a kind of the first one.
_SECTIONS = {
    "Make a study": {
        "run": ("study.run", "run"),
        "init": ("study.init", "init"),
        "score": ("study.score", "score"),
        "plan": ("study.plan", "plan"),
        "slurm": ("study.slurm", "slurm"),
        "import": ("study.import_scores", "import_"),
        "verify": ("study.verify", "verify"),
    },
    "Look at it": {
        "show": ("look.show", "show"),
        "rows": ("look.rows", "rows"),
        "analyze": ("look.analyze", "analyze"),
        "explore": ("look.explore", "explore"),
        "report": ("look.report", "report"),
        "list": ("look.list_members", "list_members"),
    },
    "Ask a model": {
        "audit": ("ask.audit", "audit"),
        "probe layers": ("ask.probe_layers", "probe_layers"),
        "probe prompts": ("ask.probe_prompts", "probe_prompts"),
        "probe prior": ("ask.probe_prior", "probe_prior"),
        "probe recall": ("ask.probe_recall", "probe_recall"),
        "probe tasks": ("ask.probe_tasks", "probe_tasks"),
        "probe style": ("ask.probe_style", "probe_style"),
        "probe ratios": ("ask.probe_ratios", "probe_ratios"),
        "probe compress": ("ask.probe_compress", "probe_compress"),
        "trace-states": ("ask.trace_states", "trace_states"),
        "canaries": ("ask.canaries", "canaries"),
        "stress": ("ask.stress", "stress"),
        "endpoint": ("ask.endpoint", "endpoint"),
    },
    "Train": {
        "demo": ("train.demo", "demo"),
        "experiment": ("train.experiment", "experiment"),
        "fit": ("train.fit", "fit"),
        "predict": ("train.predict", "predict"),
    },
    "Know a corpus": {
        "features": ("corpus.features", "features"),
        "index": ("corpus.index", "index"),
        "count": ("corpus.count", "count"),
    },
}
#: What commands with kinds are for.
_KINDS = {"probe": "Ask what a model knows, and where; each kind has its own --help."}
COMMANDS = {name: place for commands in _SECTIONS.values() for name, place in commands.items()}


def _help(module: str, function: str) -> str:
    """The function's docstring up to its parameters, read without importing the module."""
    path = Path(__file__).parent.joinpath("commands", *module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    node = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return (ast.get_docstring(node) or "").partition("\n\nParameters\n")[0]


def _add_commands() -> None:
    for order, (section, commands) in enumerate(_SECTIONS.items()):
        group = Group(section, sort_key=order)
        for name, (module, function) in commands.items():
            path = f"{__name__}.commands.{module}:{function}"
            first, _, kind = name.rpartition(" ")
            if first and first not in app:
                app.command(App(name=first, help=_KINDS[first], group=group))
            if first:
                app[first].command(path, name=kind, help=_help(module, function))
            else:
                app.command(path, name=kind, help=_help(module, function), group=group)


_add_commands()


def command_app(command: str) -> App:
    """The parser of a command, of one word or two."""
    found = app
    for word in command.split():
        found = found[word]
    return found


@app.command(name="--install-completion", sort_key=1)
def install_completion(*, shell: Literal["bash", "zsh", "fish"] | None = None) -> None:
    """Let the shell complete commands and options when Tab is pressed.

    Parameters
    ----------
    shell
        The shell to install it for, by default the one that is running.
    """
    try:
        path = app.install_completion(shell=shell)
    except ShellDetectionError:
        raise OptionError("Which shell is running is not known; name it with --shell bash, zsh or fish.") from None
    except OSError as error:
        raise MematlasError(f"The completion cannot be written ({error}); make your home folder writable.") from None
    print(f"The completion is in {path}. Open a new shell, then try: mematlas <TAB>")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0, 1 (an error to fix), 2 (a wrong option), 3 (an audit's condition holds) or
    130 (stopped by the user)."""
    keep_freed_memory()
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    command = next((name for name in (" ".join(arguments[:2]), *arguments[:1]) if name in {*COMMANDS, *_KINDS}), "")
    try:
        with missing_libraries(f"`{command_line(*command.split()) if command else 'mematlas'}`"):
            code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _fail(_one_line(error, command), 2)
    except (OptionError, UnknownName) as error:
        return _fail(str(error), 1 if command in ("run", "experiment") else 2)  # keys of a file
    except MematlasError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("Stopped. Finished shards are kept; run the same command again to continue.", 130)
    except BrokenPipeError:
        return 0
    except Exception as error:
        if (text := unreachable_message(error)) is None:
            raise
        return _fail(text, 1)
    return code if isinstance(code, int) else 0


def _one_line(error: CycloptsError, command: str) -> str:
    """The error as one line that names the option and where to find help."""
    from pydantic import ValidationError

    if isinstance(error.__cause__, ValidationError):
        return explain(error.__cause__, command)
    if isinstance(error, UnknownOptionError):
        option = (error.token.keyword or error.token.value).partition("=")[0]
        names = [name for argument in error.argument_collection if argument.parse for name in argument.names]
        text = f"Unknown option: {option}.{did_you_mean(option.strip('-'), [name.strip('-') for name in names], '--')}"
    else:
        text = " ".join(str(error).split())
    return f"{text} See `{command_line(*command.split(), '--help')}`."


def _fail(text: str, code: int) -> int:
    print(f"mematlas: {text}", file=sys.stderr)
    return code
