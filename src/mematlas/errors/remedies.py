"""Commands that messages tell the user to run, quoted so that they can be pasted into a shell."""

import shlex


def command_line(*words: object) -> str:
    """`mematlas WORDS`, with every word quoted that a shell would split or expand.

    command_line("show", Path("a b/study")) is "mematlas show 'a b/study'".
    """
    return shlex.join(["mematlas", *map(str, words)])
