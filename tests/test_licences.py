"""The check of licences: which pass, which fail, and which distributions are checked."""

from email.message import Message

import licences
import pytest


class FakeDistribution:
    """A distribution with these lines of metadata."""

    def __init__(self, *lines, requires=()):
        self.metadata, self.requires = Message(), list(requires)
        for name, value in lines:
            self.metadata[name] = value


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        ([("License-Expression", "MIT"), ("License", "GPL")], "MIT"),
        ([("Classifier", "License :: OSI Approved :: MIT License"), ("Classifier", "Topic :: X")], "MIT License"),
        ([("License", "BSD"), ("Classifier", "License :: OSI Approved")], "BSD"),
        ([("License", "Permission is granted\nto all"), ("Classifier", "A")], "Permission is granted"),
        ([("Classifier", "License :: OSI Approved :: MIT License"), ("License", "GPL-3.0")], "MIT License, GPL-3.0"),
        ([("License", "UNKNOWN")], ""),
        ([], ""),
    ],
)
def test_declared_licences(lines, licence):
    assert licences.declared(FakeDistribution(*lines)) == licence


@pytest.mark.parametrize(
    "licence",
    [
        "MIT",
        "Apache Software License",
        "MPL-2.0 AND MIT",
        "GNU Lesser General Public License v3 (LGPLv3)",
        "GPL-2.0-only OR BSD-3-Clause",
        "BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1",
    ],
)
def test_suitable_licences_pass(licence):
    assert licences.fault("name", licence) is None


@pytest.mark.parametrize(
    "licence",
    [
        "GPL-3.0-or-later",
        "GNU General Public License v2 (GPLv2)",
        "GNU Affero General Public License v3",
        "AGPL-3.0 OR SSPL-1.0",
        "MIT AND GPL-2.0-only",
        "Server Side Public License",
        "MIT License, GPL-3.0",
    ],
)
def test_strong_copyleft_fails(licence):
    assert licences.fault("name", licence) == (
        f"name is under {licence}, a strong copyleft: replace it, or allow it in tools/licences.py with a reason."
    )


@pytest.mark.parametrize(
    ("licence", "part"), [("", "declares no licence"), ("Ours", "declares 'Ours', which is unknown")]
)
def test_an_unknown_licence_fails_unless_it_is_allowed(licence, part):
    assert part in licences.fault("name", licence)
    assert licences.fault("nvidia-cublas-cu12", licence) is None


def test_extras_are_followed_and_markers_obeyed(tmp_path, monkeypatch):
    distributions = {
        "a": FakeDistribution(requires=["B_b[more]>=1", "absent", 'windows; sys_platform == "win32"']),
        "B_b": FakeDistribution(requires=['c; extra == "more"', 'd; extra == "other"', "a"]),
        "c": FakeDistribution(),
        "d": FakeDistribution(),
        "e": FakeDistribution(),
    }

    def distribution(name):
        if name not in distributions:
            raise licences.PackageNotFoundError(name)
        return distributions[name]

    monkeypatch.setattr(licences, "distribution", distribution)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "ours"\ndependencies = ["a"]\n[project.optional-dependencies]\nx = ["e", "ours[y]"]\n'
    )
    installed = licences.installed(licences.requirements(tmp_path / "pyproject.toml"))
    assert list(installed) == ["a", "b-b", "c", "e"]


def test_the_script_lists_licences_and_fails_on_a_fault(capsys, monkeypatch):
    assert licences.main() == 0
    out, err = capsys.readouterr()
    assert "numpy: " in out
    assert "pyyaml: MIT" in out
    assert err.endswith("0 with an unsuitable licence\n")
    monkeypatch.setattr(licences, "KNOWN", licences.re.compile("Apache"))
    assert licences.main() == 1
    assert "pyyaml declares 'MIT" in capsys.readouterr().err
