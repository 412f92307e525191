"""The doctor: each thing that can be wrong has its line, and the line says what to add."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from routes import GOOD, answer, chat, listening
from serving import simulated
from vllm_pages import LIVE

from monitor.doctor import Check, examine
from monitor.settings import Canary, Host, Settings, StoreSettings, Target

INPUTS = Path(__file__).parent / "inputs"
TREE = Path(__file__).parent / "captures" / "host" / "ascend-tuned"


def settings(folder: Path, url: str, **target: str) -> Settings:
    return Settings(
        target={"llama": Target.model_validate({"url": url, **target})},
        host=Host(procfs=TREE / "proc", sysfs=TREE / "sys"),
        store=StoreSettings.model_validate({"url": f"sqlite:///{folder / 'm.db'}"}),
    )


async def checks(chosen: Settings) -> dict[str, Check]:
    return {check.name: check async for check in examine(chosen)}


async def test_all_is_well(tmp_path: Path) -> None:
    """Beside a good server everything needed works, one canary included."""
    async with simulated() as server:
        found = await checks(settings(tmp_path, server.url))

    needed = ("store", "target llama", "target llama metrics", "target llama canary short", "host")
    assert [True] * len(needed) == [found[name].works for name in needed]
    assert f"{server.url} answers, vLLM 0.32.0" == found["target llama"].says
    assert "tiny answers" == found["target llama canary short"].says


async def test_closed_port(tmp_path: Path) -> None:
    """A port where nothing listens is told, with advice."""
    found = await checks(settings(tmp_path, "http://127.0.0.1:9"))

    broken = found["target llama"]
    assert (False, "http://127.0.0.1:9 does not answer: connection refused; does vLLM listen there?") == (
        broken.works,
        broken.says,
    )
    assert broken.add


async def test_no_metrics(tmp_path: Path) -> None:
    """A server without vLLM metrics is told what to start without."""
    async with simulated(log_stats=False) as server:
        found = await checks(settings(tmp_path, server.url))

    assert found["target llama metrics"].works is False
    assert "start vLLM without --disable-log-stats" == found["target llama metrics"].add


async def test_another_program(tmp_path: Path) -> None:
    """A program that is no vLLM, though it tells a version and metrics, is told as that and nothing else."""
    async with listening({"/metrics": answer(b"prometheus_ready 1\n"), "/version": GOOD["/version"]}) as host:
        found = await checks(settings(tmp_path, f"http://{host}"))

    says = f"http://{host} answers, but is no vLLM (no vLLM metrics, /v1/models: HTTP 404)"
    assert Check("target llama", works=False, says=says, add="correct the url") == found["target llama"]
    assert not {"target llama metrics", "target llama model"} & found.keys()


async def test_a_kept_contract(tmp_path: Path) -> None:
    """A server that shows all that its version must is said to; without metrics nobody can say."""
    async with simulated() as server:
        kept = (await checks(settings(tmp_path, server.url)))["target llama contract"]
    async with simulated(log_stats=False) as server:
        unknown = (await checks(settings(tmp_path, server.url)))["target llama contract"]

    assert (True, "every metric is there that vLLM 0.32.0 must show") == (kept.works, kept.says)
    assert (None, "no vLLM metrics at all") == (unknown.works, unknown.says)


@pytest.mark.parametrize(
    ("renamed", "works", "says"),
    [
        (
            "kv_cache_usage_perc",
            None,
            "vLLM 0.32.0 does not show vllm:kv_cache_usage_perc → vllm:new_kv_cache_usage_perc",
        ),
        (
            "num_requests_running",
            False,
            "vLLM 0.32.0 does not show vllm:num_requests_running → vllm:new_num_requests_running",
        ),
    ],
)
async def test_a_broken_contract(tmp_path: Path, renamed: str, works: bool | None, says: str) -> None:  # noqa: FBT001 - a parameter of the cases
    """What is missing is named, with what may have replaced it; without what is vital the monitor does not work."""
    text = LIVE.replace(f"vllm:{renamed}", f"vllm:new_{renamed}")
    async with listening({**GOOD, "/metrics": answer(text.encode())}) as host:
        found = (await checks(settings(tmp_path, f"http://{host}")))["target llama contract"]

    assert (works, says) == (found.works, found.says)
    assert found.add.startswith("update vllm-monitor")


async def test_no_socket(tmp_path: Path) -> None:
    """A server behind a socket is named by it, with what to do about it."""
    path = tmp_path / "vllm.sock"
    found = (await checks(settings(tmp_path, "http://localhost", uds=str(path))))["target llama"]

    assert found.says.startswith(f"unix:{path} does not answer: no such socket")
    assert "start vLLM with --uds, correct uds, and in a container mount the socket's folder" == found.add


async def test_wanted_key(tmp_path: Path) -> None:
    """A server that hides its models says which setting is missing, also where the model is known."""
    async with simulated(models_status=401, status=401) as server:
        found = await checks(settings(tmp_path, server.url))
        named = await checks(settings(tmp_path, server.url, model="tiny"))

    add = "set api_key_file to a file with the server's --api-key, or correct it"
    assert (False, add) == (found["target llama model"].works, found["target llama model"].add)
    canary = named["target llama canary short"]
    assert (False, add) == (canary.works, canary.add)
    assert canary.says.startswith("rejected: HTTP 401")


async def test_a_model_that_is_not_served(tmp_path: Path) -> None:
    """A model that the server does not know is told with one that it serves."""
    async with simulated() as server:
        found = (await checks(settings(tmp_path, server.url, model="big")))["target llama canary short"]

    assert (False, "correct model: the server names tiny in /v1/models") == (found.works, found.add)
    assert found.says.startswith("rejected: HTTP 404: The model `big` does not exist")


async def test_a_model_without_chat(tmp_path: Path) -> None:
    """What the canary says to set is what to add."""
    refusal = answer(b'{"message": "this model has no chat template"}', "400 Bad Request", "application/json")
    async with listening(chat(refusal)) as host:
        found = (await checks(settings(tmp_path, f"http://{host}")))["target llama canary short"]

    assert 'for a base model set [canary] profiles = ["completions"]' == found.add
    assert (False, "rejected: HTTP 400: this model has no chat template") == (found.works, found.says)


async def test_an_engine_that_sleeps(tmp_path: Path) -> None:
    """A sleeping engine is asked nothing: it might never wake from that."""
    async with simulated(asleep=True) as server:
        found = (await checks(settings(tmp_path, server.url)))["target llama canary"]

    assert Check("target llama canary", None, "the engine sleeps, and is asked nothing", "POST /wake_up") == found


async def test_server_info(tmp_path: Path) -> None:
    """Settings that a server does not tell are no trouble: nobody should open its development mode for us."""
    told = answer(b'{"vllm_config": {}, "vllm_env": {}}', kind="application/json")
    async with listening(GOOD) as host:
        closed = (await checks(settings(tmp_path, f"http://{host}")))["target llama server_info"]
    async with listening({**GOOD, "/server_info": told}) as host:
        opened = (await checks(settings(tmp_path, f"http://{host}")))["target llama server_info"]

    assert (None, "") == (closed.works, closed.add)
    assert closed.says.startswith("closed: only vLLM's development mode opens it")
    assert (
        Check("target llama server_info", True, "told: VLLM_SERVER_DEV_MODE=1 is set, which is not for production")
        == opened
    )


async def test_https_or_http(tmp_path: Path) -> None:
    """A server that speaks the other one of http and https is told with the url to write."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(INPUTS / "untrusted.pem")
    async with listening(GOOD, tls) as host:
        plain = (await checks(settings(tmp_path, f"http://{host}")))["target llama"]
        strange = (await checks(settings(tmp_path, f"https://{host}")))["target llama"]
    async with simulated() as server:
        wrapped = (await checks(settings(tmp_path, server.url.replace("http", "https"))))["target llama"]

    assert "if it speaks https, write https:// in the url; else see its log" == plain.add
    assert "write http:// in the url" == wrapped.add
    assert "name its issuer's file in ca_file, or in the variable SSL_CERT_FILE" == strange.add
    assert [False] * 3 == [one.works for one in (plain, wrapped, strange)]


async def test_facts_that_are_missing(tmp_path: Path) -> None:
    """What a server does not tell of itself is one line for each reason."""
    async with simulated(models_status=500) as server:
        found = (await checks(settings(tmp_path, server.url)))["target llama facts"]

    assert Check("target llama facts", None, "vllm.model_root and 2 more unreadable: HTTP 500") == found


async def test_what_is_not_set(tmp_path: Path) -> None:
    """Of what is looked at beside /metrics the doctor says what would have to be set."""
    found = await checks(settings(tmp_path, "http://vllm.invalid:8000"))

    process, log, node = (found[f"target llama {name}"] for name in ("process", "log", "mlnode"))
    assert [None] * 3 == [process.works, log.works, node.works]
    assert ('if it does, set local = "yes"', "name the file that vLLM's output goes to") == (process.add, log.add)
    assert node.add.startswith("only if a Gonka MLNode runs this server: set mlnode_url to ")


async def test_failing_answers(tmp_path: Path) -> None:
    """A server that answers looks and fails requests is told by its canary."""
    async with simulated(status=500) as server:
        found = await checks(settings(tmp_path, server.url))

    assert (False, "see the server's log") == (
        found["target llama canary short"].works,
        found["target llama canary short"].add,
    )
    assert found["target llama canary short"].says.startswith("rejected: HTTP 500")


async def test_the_watched_profiles_are_asked(tmp_path: Path) -> None:
    """The doctor's canary asks all that will be watched: what the server has no room for is told."""
    async with simulated(max_model_len=60) as server:
        chosen = settings(tmp_path, server.url)
        found = await checks(chosen.model_copy(update={"canary": Canary(profiles=["short", "long"])}))
        short, long = found["target llama canary short"], found["target llama canary long"]

    assert (True, False) == (short.works, long.works)
    assert long.says.startswith("rejected: HTTP 400")


async def test_unreadable_key_file(tmp_path: Path) -> None:
    """A key file that is not there is one broken line, and the rest is still examined."""
    found = await checks(settings(tmp_path, "http://127.0.0.1:9", api_key_file="/nowhere/key"))

    assert (False, "correct the path or its rights") == (found["target llama"].works, found["target llama"].add)
    assert found["host"].works


async def test_wrong_roots(tmp_path: Path) -> None:
    """Roots under which nothing is readable are wrong, which is told once."""
    chosen = settings(tmp_path, "http://127.0.0.1:9")
    wrong = chosen.model_copy(update={"host": Host(procfs=tmp_path / "no", sysfs=tmp_path / "no")})

    found = await checks(wrong)

    assert (False, "correct [host] procfs and sysfs") == (found["host"].works, found["host"].add)


async def test_log(tmp_path: Path) -> None:
    """A target's log is told with what was read of it, or with what stands in the way."""
    told = f"INFO {datetime.now(UTC):%m-%d %H:%M:%S} [loggers.py:87] Engine 000: Running: 1 reqs, Waiting: 0 reqs"
    busy, idle, gone = (tmp_path / name for name in ("busy.log", "idle.log", "gone.log"))
    busy.write_text(f"{told}\n")
    idle.write_text("")
    checked = [await checks(settings(tmp_path, "http://127.0.0.1:9", log_file=str(one))) for one in (busy, idle, gone)]
    found = [one["target llama log"] for one in checked]

    assert [True, True, False] == [check.works for check in found]
    assert f"{busy}: 2 readings" == found[0].says
    assert found[1].says.startswith(f"{idle}: no line of statistics")
    assert found[2].says.startswith(f"{gone} is not there: ")
