"""The licences of everything that mematlas pulls in: ``python tools/licences.py`` lists them, and fails on a bad one.

Every installed distribution that a dependency or an extra of pyproject.toml needs, directly or through others, must
declare a licence that is known here and is no strong copyleft (GPL, AGPL, SSPL): who builds on mematlas must stay free
to choose a licence of their own. Weak copyleft (MPL, LGPL) binds only changes to the library itself. What a
distribution declares is believed: its SPDX expression, else its classifiers and the first line of its licence field.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
#: Name or pattern -> why it may stay although its declaration does not pass.
ALLOWED: Mapping[str, str] = {
    "nvidia-*": "CUDA libraries that GPU builds of torch load; NVIDIA's licence lets them be used and passed on",
    "cuda-*": "as nvidia-*",
    "docutils": "public domain and BSD; the GPL is that of its Emacs mode, which is not installed",
}
STRONG = re.compile(r"(?<!L)GPL|(?<!Lesser )General Public License|Affero|SSPL|Server Side Public", re.IGNORECASE)
#: GCC's run-time libraries inside wheels: the exception frees what is linked with them.
FREED = re.compile(r"GPL-[\w.]+(-or-later|-only|\+)? WITH GCC-exception-3\.1", re.IGNORECASE)
KNOWN = re.compile(
    r"MIT|BSD|Apache|\bISC|PSF|Python Software Foundation|MPL|Mozilla|Zlib|Unlicense|CC0|LGPL|Lesser General|HPND|CNRI"
    r"|BSL-1\.0|Boost|Public Domain|Artistic|WTFPL",
    re.IGNORECASE,
)


def requirements(project: Path) -> list[Requirement]:
    """All dependencies of a pyproject.toml, those of extras included."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    lists = [table.get("dependencies", []), *table.get("optional-dependencies", {}).values()]
    found = (Requirement(line) for lines in lists for line in lines)
    return [requirement for requirement in found if canonicalize_name(requirement.name) != table["name"]]


def installed(wanted: Iterable[Requirement]) -> dict[str, Distribution]:
    """Canonical name -> distribution, of these requirements and all that they need here."""
    found: dict[str, Distribution] = {}
    done: set[tuple[str, str]] = set()
    waiting = [(requirement, "") for requirement in wanted]
    while waiting:
        requirement, asked = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": asked}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            found[name] = distribution(requirement.name)
        except PackageNotFoundError:
            continue  # an extra that is not installed
        for extra in {"", *requirement.extras}:
            if (name, extra) not in done:
                done.add((name, extra))
                waiting += [(Requirement(line), extra) for line in found[name].requires or []]
    return dict(sorted(found.items()))


def declared(of: Distribution) -> str:
    """The licence that a distribution declares, "" if none."""
    facts = of.metadata
    classifiers = [
        line.split(" :: ")[-1] for line in facts.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    named = (facts.get("License") or "").strip().splitlines()[:1]  # some give the whole text
    said = dict.fromkeys(name for name in (*classifiers, *named) if name not in ("OSI Approved", "UNKNOWN"))
    return facts.get("License-Expression") or ", ".join(said)


def fault(name: str, licence: str) -> str | None:
    """What is wrong with a licence; None if nothing is, or the name is allowed."""
    if any(fnmatch(name, pattern) for pattern in ALLOWED):
        return None
    alternatives = FREED.sub("", licence).split(" OR ")
    if all(STRONG.search(part) for part in alternatives):
        return (
            f"{name} is under {licence}, a strong copyleft: replace it, or allow it in tools/licences.py with a reason."
        )
    if not KNOWN.search(licence):
        said = f"declares {licence!r}, which is not known here" if licence else "declares no licence"
        return f"{name} {said}: read its licence file, and name it in tools/licences.py with a reason."
    return None


def main() -> int:
    """Print a line a distribution, then every fault; the exit status is 1 if there is one."""
    found = {name: declared(of) for name, of in installed(requirements(PROJECT)).items()}
    for name, licence in found.items():
        reasons = [why for pattern, why in ALLOWED.items() if fnmatch(name, pattern)]
        print(f"{name}: {licence or 'none declared'}{f' (allowed: {reasons[0]})' if reasons else ''}")
    faults = [said for name, licence in found.items() if (said := fault(name, licence))]
    print(*faults, f"{len(found)} distributions, {len(faults)} with a licence at fault", sep="\n", file=sys.stderr)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
