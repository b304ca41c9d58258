"""The plugin for axolotl, with a stand-in for axolotl's base class: it is found by name and adds the callback."""

import sys
from importlib import import_module
from types import ModuleType

import pytest

from mematlas.errors import OptionError
from tests.integrations.training import GRID, HELD_OUT, measurements, trainer


class Configuration(dict):
    """As axolotl's DictDefault: a missing key is None."""

    def __missing__(self, key: str) -> None:
        return None


@pytest.fixture
def plugin(monkeypatch):
    """The plugin, loaded by its dotted name as axolotl loads plugins."""
    base = ModuleType("axolotl.integrations.base")
    base.BasePlugin = type("BasePlugin", (), {})
    for name in ("axolotl", "axolotl.integrations"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "axolotl.integrations.base", base)
    monkeypatch.delitem(sys.modules, "mematlas.integrations.axolotl", raising=False)
    module, _, name = "mematlas.integrations.axolotl.MemorizationPlugin".rpartition(".")
    yield getattr(import_module(module), name)()
    sys.modules.pop("mematlas.integrations.axolotl", None)


def test_the_callback_measures_in_the_trainer(plugin, tmp_path):
    training = trainer(tmp_path / "run")
    options = Configuration(memorization={"control": "eval", "study": str(tmp_path / "study"), **GRID})
    for callback in plugin.add_callbacks_post_trainer(options, training):
        training.add_callback(callback)
    training.train()
    assert [record["step"] for record in measurements(training.state.log_history)] == [0, 4, 8]
    assert (tmp_path / "study" / "corpus" / "control.parquet").is_file()


def test_without_settings_it_has_the_defaults(plugin, tmp_path):
    (callback,) = plugin.add_callbacks_post_trainer(Configuration(), trainer(tmp_path))
    assert callback._grid.width == 64


def test_axolotl_accepts_the_key(plugin):
    module, _, name = plugin.get_input_args().rpartition(".")
    arguments = getattr(import_module(module), name)
    assert arguments(memorization={"every": 50}).memorization == {"every": 50}
    assert arguments().memorization is None


def test_a_misspelt_key_is_named(plugin, tmp_path):
    with pytest.raises(OptionError, match=r"memorization: has no key 'contol'\. Did you mean 'control'"):
        plugin.add_callbacks_post_trainer(Configuration(memorization={"contol": HELD_OUT}), trainer(tmp_path))


def test_without_axolotl_nothing_else_is_affected():
    sys.modules.pop("mematlas.integrations.axolotl", None)
    assert import_module("mematlas.integrations.transformers").MemorizationCallback
    with pytest.raises(ModuleNotFoundError, match="axolotl"):
        import_module("mematlas.integrations.axolotl")
