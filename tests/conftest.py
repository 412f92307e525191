"""Fixtures that several test files share."""

import pytest
from hypothesis import settings

settings.register_profile("patient", parent=settings(), deadline=None)  # another process may take the core meanwhile
settings.load_profile("patient")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
