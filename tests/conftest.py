"""Fixtures that several test files share."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
