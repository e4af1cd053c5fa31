"""Every command: wrong use, and what it prints."""

import importlib
import os
import pkgutil
import warnings
from types import ModuleType

import click
import pytest

from nhm_assets import commands
from nhm_assets.cli import SUBCOMMANDS, main
from nhm_assets.commands.adopt import adopt
from nhm_assets.commands.rollback import rollback
from tests.support.nhm import nhm


@pytest.mark.parametrize(
    ("arguments", "settings", "named"),
    [
        (["retrain", "--specialist", "oracle"], {}, "oracle"),
        (["retrain", "--week", "2026-03-02"], {}, "2026-03-02"),
        (["retrain", "--week", "last"], {}, "last"),
        (["retrain", "--week", "2025-12-28"], {}, "2025-12-28"),
        (["retrain", "--report", "/no/such/folder/report.json"], {}, "/no/such/folder"),
        (["retrain"], {"f1_threshold": "high"}, "F1_THRESHOLD"),
        (["retrain"], {"precision_threshold": 1.5}, "PRECISION_THRESHOLD"),
        (["seed", "--rebase"], {}, "--from"),
        (["seed"], {"environment": "production"}, "ENVIRONMENT"),
        (["no-such-command"], {}, "no-such-command"),
        (["dev", "--port", "99999"], {}, "--port"),
    ],
)
def test_wrong_use_exits_with_2_and_names_what_is_wrong(home, arguments, settings, named):
    done = nhm(*arguments, nhm_home=home, **settings)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [adopt, rollback], ids=["adopt", "rollback"])
def test_a_reason_that_is_not_utf_8_is_recorded_with_its_bytes_written_out(command: click.Command):
    with command.make_context("nhm", ["technical", "--reason", os.fsdecode(b"zur\xfcck")]) as context:
        assert context.params["reason"] == "zur\\xfcck"


KNOWN = [
    "Class `MlFlow` is currently in beta, and may have breaking changes",
    "Parameter `partitions_def` of `AssetCheckSpec` is currently in preview, and may have breaking changes",
    "The specified dataset source can be interpreted in multiple ways: A, B.",
    "Hint: Inferred schema contains integer column(s).",
]


def test_commands_silence_known_warnings_and_no_others():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        main.callback()
        for message in [*KNOWN, "the disk is nearly full"]:
            warnings.warn(message, stacklevel=1)
    assert [str(warning.message) for warning in shown] == ["the disk is nearly full"]


def outer_commands(module: ModuleType) -> list[click.Command]:
    """The commands of a module that are no part of a group in it."""
    found = [value for value in vars(module).values() if isinstance(value, click.Command)]
    inner = [one for group in found if isinstance(group, click.Group) for one in group.commands.values()]
    return [command for command in found if command not in inner]


def test_every_subcommand_is_listed_and_can_be_called():
    """The list stands in for the modules, which are imported only when they are called."""
    found = {
        (command.name, module.name)
        for module in pkgutil.iter_modules(commands.__path__)
        for command in outer_commands(importlib.import_module(f"nhm_assets.commands.{module.name}"))
    }
    # A group calls its own commands: `nhm cluster check`.
    found -= {("check", "cluster"), *((name, "backup") for name in ("store", "list", "fetch"))}
    assert {(name, one.module) for name, one in SUBCOMMANDS.items()} == found
    context = click.Context(main)
    assert [main.get_command(context, name).name for name in main.list_commands(context)] == list(SUBCOMMANDS)
