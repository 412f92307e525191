"""Other people's programs that judge what we write: where one is not installed, that is said, or not allowed."""

import os
import shutil
import subprocess

import pytest


def checked(text: str, package: str, *command: str) -> tuple[int, str, str]:
    """Let a program read a text; give its exit code and all that it said. `package` is where Debian has it."""
    found = program(package, command[0])
    done = subprocess.run(  # noqa: S603 - a tool found on PATH
        [found, *command[1:]], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def program(package: str, name: str) -> str:
    """Give a program's path. Without it a test skips; it fails where nothing may be skipped."""
    found = shutil.which(name)
    if found is None and os.environ.get("MONITOR_TEST_STRICT") == "1":
        pytest.fail(f"{name} is not installed: in Debian it is part of the package {package}")
    if found is None:
        pytest.skip(f"{name} is not installed, so this was NOT checked")
    return found
