"""A tool is run to its end, one at a time, within bounds, and nothing of it is left behind."""

import asyncio
import os
import tracemalloc
from pathlib import Path

import pytest

from monitor.collect import command as running
from monitor.collect.command import LARGEST, Output, ended, found, output
from monitor.collect.fetch import LookError


def tool(path: Path, *lines: str) -> str:
    """Write a shell script and give its path."""
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
    return str(path)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def descriptors() -> int:
    """Count what this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])


async def closed(writers: int) -> bytes:
    """Wait until no process holds the other end of a pipe any more; give what they wrote."""
    with os.fdopen(writers, "rb") as reading:
        return await asyncio.wait_for(asyncio.to_thread(reading.read), 5.0)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Make a named pipe: who reads it waits until the tool has written its process id."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


async def test_output_and_exit_code(tmp_path: Path) -> None:
    """Both streams and the exit code come back, and the arguments arrive."""
    command = tool(tmp_path / "tool", 'echo "out $1 $2"', "echo err >&2", "exit 187")

    assert Output(187, "out info -l\nerr\n") == await output(command, "info", "-l")


async def test_nothing_printed(tmp_path: Path) -> None:
    """A silent tool has an empty text."""
    assert Output(0, "") == await output(tool(tmp_path / "tool", "exit 0"))


async def test_killed_by_a_signal(tmp_path: Path) -> None:
    """A tool that a signal ended has a code below zero."""
    assert Output(-9, "half\n") == await output(tool(tmp_path / "tool", "echo half", "kill -9 $$"))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (187, "ends with exit code 187"),
        (-9, "was ended by SIGKILL"),
        (-11, "was ended by SIGSEGV"),
        (-99, "was ended by signal 99"),
    ],
)
def test_ends_are_told(code: int, expected: str) -> None:
    """How a tool ended is said with the signal's name where there is one."""
    assert expected == ended(Output(code, ""))


async def test_language_and_environment(tmp_path: Path) -> None:
    """A tool speaks no local language, keeps our environment, and gets what is laid over it."""
    command = tool(tmp_path / "tool", 'echo "$LC_ALL $MINE ${HOME:+home}"')

    assert Output(0, "C ours home\n") == await output(command, env={"MINE": "ours"})


async def test_not_text(tmp_path: Path) -> None:
    """Bytes that are no text are replaced."""
    assert Output(0, "a\ufffdb") == await output(tool(tmp_path / "tool", r"printf 'a\377b'"))


async def test_no_input(tmp_path: Path) -> None:
    """A tool that asks gets no answer and does not wait for one."""
    assert Output(0, "asked\n") == await output(tool(tmp_path / "tool", "read -r answer", "echo asked$answer"))


async def test_missing_tool(tmp_path: Path) -> None:
    """A tool that is not there is told by name, with what would help."""
    path = tmp_path / "npu-smi"

    with pytest.raises(LookError) as caught:
        await output(str(path))

    assert f"{path} cannot be run: No such file or directory; mount it into the container" == str(caught.value)


async def test_tool_that_may_not_be_run(tmp_path: Path) -> None:
    """A file that is no program is told as such."""
    path = tmp_path / "npu-smi"
    path.write_text("")

    with pytest.raises(LookError, match="cannot be run: Permission denied"):
        await output(str(path))


async def test_time_limit_leaves_no_process(tmp_path: Path, pipe: Path) -> None:
    """A tool that hangs is killed when the caller's time is up, even if it ignores being asked."""
    command = tool(tmp_path / "tool", "trap '' TERM INT", f"echo $$ > {pipe}", "exec sleep 600")
    running = asyncio.create_task(output(command))
    process = int(await asyncio.to_thread(pipe.read_text))

    assert alive(process)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(running, 0)
    assert not alive(process)


async def test_tool_can_be_run_after_a_hang(tmp_path: Path) -> None:
    """A run that was ended does not stand in the way of the next one."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(output(tool(tmp_path / "hangs", "exec sleep 600")), 0.05)

    assert Output(0, "fine\n") == await output(tool(tmp_path / "works", "echo fine"))


async def test_one_at_a_time(tmp_path: Path) -> None:
    """Runs that are asked for at once happen one after the other."""
    lock = tmp_path / "lock"
    command = tool(tmp_path / "tool", f"mkdir {lock} || exit 1", "sleep 0.02", f"rmdir {lock}")

    assert [Output(0, "")] * 4 == await asyncio.gather(*(output(command) for _ in range(4)))


async def test_too_much_output(tmp_path: Path, pipe: Path) -> None:
    """A tool that prints without end is stopped, and none of it is left."""
    running = asyncio.create_task(output(tool(tmp_path / "tool", f"echo $$ > {pipe}", "exec yes")))
    process = int(await asyncio.to_thread(pipe.read_text))

    with pytest.raises(LookError, match=r"^the tool printed more than 1 MiB$"):
        await running
    assert not alive(process)


async def test_as_much_output_as_may_be(tmp_path: Path) -> None:
    """Output of just the bound is read whole."""
    printed = await output(tool(tmp_path / "tool", f"head -c {LARGEST} /dev/zero"))

    assert LARGEST == len(printed.text)


async def test_flood(tmp_path: Path) -> None:
    """Of a hundred megabytes little is ever held, and the tool is stopped."""
    command = tool(tmp_path / "tool", "exec head -c 100000000 /dev/zero")
    tracemalloc.start()

    with pytest.raises(LookError, match="printed more than 1 MiB"):
        await output(command)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 4 * LARGEST


async def test_slow_tool_keeps_to_the_limit(tmp_path: Path, pipe: Path) -> None:
    """A tool that needs eight seconds is given up at the limit, with the process that it waits for."""
    command = tool(tmp_path / "tool", f"exec 3>{pipe}", "sleep 8 &", "wait", "echo late")
    writers = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(writers, True)
    loop = asyncio.get_running_loop()
    began = loop.time()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(output(command), 0.3)
    took = loop.time() - began

    assert b"" == await closed(writers)
    assert took < 2.0


async def test_child_that_holds_the_pipe(tmp_path: Path, pipe: Path) -> None:
    """A tool that has ended is not waited for because of a child that it left: that one ends too."""
    command = tool(tmp_path / "tool", f"exec 3>{pipe}", "sleep 600 &", "echo fine", "exit 3")
    writers = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(writers, True)

    assert Output(3, "fine\n") == await asyncio.wait_for(output(command), 5.0)
    assert b"" == await closed(writers)


async def test_child_that_escaped_with_the_pipe(tmp_path: Path) -> None:
    """A child that left the tool's group holds neither the look nor a descriptor of ours."""
    command = tool(tmp_path / "tool", "setsid -f sh -c 'echo $$; exec sleep 600'", "sleep 0.1", "echo fine")
    before = descriptors()

    printed = await asyncio.wait_for(output(command), 5.0)
    await asyncio.sleep(0)
    escaped, words = printed.text.split()
    os.kill(int(escaped), 9)

    assert (0, "fine") == (printed.code, words)
    assert before == descriptors()


async def test_tool_that_cannot_be_killed(tmp_path: Path) -> None:
    """While a tool hangs in the kernel none is started beside it; once it is gone, all is as before."""
    command = tool(tmp_path / "tool", "echo fine")
    hanging = await asyncio.create_subprocess_exec("sleep", "600")
    running.stuck[command] = hanging

    with pytest.raises(LookError, match=rf"hangs in its driver and cannot be killed \(process {hanging.pid}\)"):
        await output(command)
    hanging.kill()
    await hanging.wait()

    assert Output(0, "fine\n") == await output(command)
    assert command not in running.stuck


def test_found() -> None:
    """Tools are looked for on the PATH."""
    assert found("sh")
    assert not found("no-such-smi")
