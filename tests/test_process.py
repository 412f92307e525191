"""Which processes are vLLM servers."""

from pathlib import Path

from monitor.collect.process import servers

LINES = {
    1: b"/usr/bin/python3\0/usr/local/bin/vllm\0serve\0/models/tiny\0",
    2: b"python3\0-m\0vllm.entrypoints.openai.api_server\0--port\08000\0",
    3: b"VLLM::EngineCore\0\0\0\0",
    4: b"VLLM::Worker_TP0",
    5: b"/opt/vllm-monitor/bin/python\0/opt/vllm-monitor/bin/monitor\0serve\0",
    6: b"vllm-monitor\0",
    7: b"",
}


def test_servers(tmp_path: Path) -> None:
    """API servers, engines and workers are servers; the monitor itself and kernel threads are none."""
    for number, line in LINES.items():
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_bytes(line)
    (tmp_path / "8").mkdir()
    (tmp_path / "sys").mkdir()

    assert [1, 2, 3, 4] == sorted(servers(tmp_path))


def test_unreadable_proc(tmp_path: Path) -> None:
    """Where there is no /proc no server is seen."""
    assert [] == list(servers(tmp_path / "nowhere"))
