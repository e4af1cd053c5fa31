"""Says on the terminal which server a test starts, while the tester waits for it.

The line travels as a test report, which pytest-xdist sends from a test process to the terminal at once.
"""

import os

import pytest

_PROPERTY = "starting"
_configs: list[pytest.Config] = []


class Progress:
    """The plugin: in a test process it knows where reports go, and on the terminal it prints them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        _configs.append(config)

    def pytest_unconfigure(self) -> None:
        _configs.remove(self._config)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print what is being started; in a test process of xdist there is no terminal, and nothing is printed."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        for name, server in report.user_properties:
            if terminal and capture and name == _PROPERTY:
                with capture.global_and_fixture_disabled():
                    terminal.ensure_newline()
                    terminal.write_line(f"Starting {server} ...")


def announce(server: str) -> None:
    """Say that this server is being started. Call it from a test or a fixture."""
    test = os.environ.get("PYTEST_CURRENT_TEST")
    if not (test and _configs):
        return
    report = pytest.TestReport(
        nodeid=test.rpartition(" (")[0],
        location=("", None, ""),
        keywords={},
        outcome="passed",
        longrepr=None,
        # A passed set-up is no result, so nothing counts it.
        when="setup",
        user_properties=[(_PROPERTY, server)],
    )
    _configs[-1].hook.pytest_runtest_logreport(report=report)
