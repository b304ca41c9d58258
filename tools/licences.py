"""List the licences of all dependencies of mematlas: ``python tools/licences.py``; fails on an unsuitable one.

Every installed distribution that a dependency or an extra of pyproject.toml needs, directly or indirectly, must declare
a known licence that is not a strong copyleft licence (GPL, AGPL, SSPL), so that users of mematlas are free to choose
their own licence. Weak copyleft (MPL, LGPL) only applies to changes to the library itself. The declaration of a
distribution is trusted: its SPDX expression, or else its classifiers and the first line of its licence field.
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
#: Name or pattern of a distribution -> why it is allowed although its declaration does not pass.
ALLOWED: Mapping[str, str] = {
    "nvidia-*": "CUDA libraries that GPU builds of torch load; NVIDIA's licence allows use and redistribution",
    "cuda-*": "same as nvidia-*",
    "docutils": "public domain and BSD; the GPL applies to its Emacs mode, which is not installed",
}
STRONG = re.compile(r"(?<!L)GPL|(?<!Lesser )General Public License|Affero|SSPL|Server Side Public", re.IGNORECASE)
#: GCC's run-time libraries inside wheels: the exception exempts programs that are linked with them.
GCC_EXCEPTION = re.compile(r"GPL-[\w.]+(-or-later|-only|\+)? WITH GCC-exception-3\.1", re.IGNORECASE)
KNOWN = re.compile(
    r"MIT|BSD|Apache|\bISC|PSF|Python Software Foundation|MPL|Mozilla|Zlib|Unlicense|CC0|LGPL|Lesser General|HPND|CNRI"
    r"|BSL-1\.0|Boost|Public Domain|Artistic|WTFPL",
    re.IGNORECASE,
)


def requirements(project: Path) -> list[Requirement]:
    """All dependencies of a pyproject.toml, including those of extras."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    lists = [table.get("dependencies", []), *table.get("optional-dependencies", {}).values()]
    requirements = (Requirement(line) for lines in lists for line in lines)
    return [requirement for requirement in requirements if canonicalize_name(requirement.name) != table["name"]]


def installed(requirements: Iterable[Requirement]) -> dict[str, Distribution]:
    """Canonical name -> installed distribution, of these requirements and everything that they need on this machine."""
    distributions: dict[str, Distribution] = {}
    visited: set[tuple[str, str]] = set()
    pending = [(requirement, "") for requirement in requirements]
    while pending:
        requirement, parent_extra = pending.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": parent_extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            distributions[name] = distribution(requirement.name)
        except PackageNotFoundError:
            continue  # an extra that is not installed
        for extra in {"", *requirement.extras}:
            if (name, extra) not in visited:
                visited.add((name, extra))
                pending += [(Requirement(line), extra) for line in distributions[name].requires or []]
    return dict(sorted(distributions.items()))


def declared(dist: Distribution) -> str:
    """The licence that a distribution declares, "" if none."""
    metadata = dist.metadata
    classifiers = [
        line.split(" :: ")[-1] for line in metadata.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    field = (metadata.get("License") or "").strip().splitlines()[:1]  # some contain the whole licence text
    names = dict.fromkeys(name for name in (*classifiers, *field) if name not in ("OSI Approved", "UNKNOWN"))
    return metadata.get("License-Expression") or ", ".join(names)


def fault(name: str, licence: str) -> str | None:
    """What is wrong with a licence; None if it is suitable or the name is allowed."""
    if any(fnmatch(name, pattern) for pattern in ALLOWED):
        return None
    alternatives = GCC_EXCEPTION.sub("", licence).split(" OR ")
    if all(STRONG.search(part) for part in alternatives):
        return (
            f"{name} is under {licence}, a strong copyleft: replace it, or allow it in tools/licences.py with a reason."
        )
    if not KNOWN.search(licence):
        problem = f"declares {licence!r}, which is unknown" if licence else "declares no licence"
        return f"{name} {problem}: read its licence file, and add it to tools/licences.py with a reason."
    return None


def main() -> int:
    """Print one line per distribution, then every fault; the exit status is 1 if there is one."""
    licences = {name: declared(dist) for name, dist in installed(requirements(PROJECT)).items()}
    for name, licence in licences.items():
        reasons = [reason for pattern, reason in ALLOWED.items() if fnmatch(name, pattern)]
        print(f"{name}: {licence or 'none declared'}{f' (allowed: {reasons[0]})' if reasons else ''}")
    faults = [message for name, licence in licences.items() if (message := fault(name, licence))]
    print(
        *faults, f"{len(licences)} distributions, {len(faults)} with an unsuitable licence", sep="\n", file=sys.stderr
    )
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
