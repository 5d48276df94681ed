"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

NOT_SHIPPED = "not part of the project"
"""The reason of a skip that is right everywhere: evaluation data lies beside the checkout, where there is any."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where FRAMEPACE_REQUIRE_ALL is set, a test that skips because something is not installed has failed."""
    report = yield
    if report.skipped and os.environ.get("FRAMEPACE_REQUIRE_ALL") and NOT_SHIPPED not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and may not be here: {report.longrepr}"
    return report
