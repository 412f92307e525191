"""What is in force: the server's word, else what was given, else its version's default; never a guess."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.model import Fact
from monitor.tuning.derived import complete
from monitor.tuning.in_force import SETTINGS

UNSET = dict.fromkeys(
    (
        *catalog.PROCESS_ARG.values(),
        *catalog.PROCESS_ARG_KEY.values(),
        *catalog.PROCESS_ENV.values(),
        *catalog.PROCESS_ENV_OPTION.values(),
    ),
    "unset",
)
ASCEND = "process.package.vllm-ascend"


def followed(name: str, **known: str) -> Fact | None:
    """Give what follows from facts, where all that is not said of arguments and variables was not given."""
    facts = [Fact(fact, value, "/here") for fact, value in {**UNSET, **known}.items()]
    return next((fact for fact in complete(facts) if fact.name == name), None)


@pytest.mark.parametrize(
    ("setting", "known", "value"),
    [
        ("max_num_seqs", {"vllm.max_num_seqs": "64", "process.arg.max-num-seqs": "32"}, "64"),
        ("max_num_seqs", {"process.arg.max-num-seqs": "32"}, "32"),
        ("enforce_eager", {"vllm.enforce_eager": "True"}, "true"),
        ("enforce_eager", {}, "false"),
        ("dtype", {"process.arg.dtype": "half"}, "float16"),
        ("dtype", {"process.arg.dtype": "auto", "vllm.dtype": "bfloat16"}, "bfloat16"),
        ("kv_cache_dtype", {"process.arg.kv-cache-dtype": "auto"}, "auto"),
        ("gpu_memory_utilization", {"process.arg.gpu-memory-utilization": "0.90"}, "0.9"),
        ("gpu_memory_utilization", {"vllm.version": "0.7.3"}, "0.9"),
        ("model", {"vllm.model_root": "/m", "process.arg.model": "/m"}, "/m"),
        ("prefix_caching", {"vllm.prefix_caching": "False", "process.arg.enable-prefix-caching": "true"}, "false"),
        ("prefix_caching", {"vllm.engine": "V0"}, "false"),
        ("prefix_caching", {"vllm.engine": "V1", "vllm.version": "0.7.3"}, "true"),
        ("async_scheduling", {"vllm.version": "0.13.0"}, "false"),
        ("async_scheduling", {"vllm.version": "0.14.0rc1"}, "auto"),
        ("async_scheduling", {"process.package.vllm": "0.32.0+cpu"}, "auto"),
        ("async_scheduling", {"vllm.version": "0.32.0", "process.arg.async-scheduling": "false"}, "false"),
        ("cudagraph_capture_sizes", {"process.arg.compilation-config.cudagraph_capture_sizes": '["1","2"]'}, "1, 2"),
        ("cudagraph_capture_sizes", {"process.arg.cudagraph-capture-sizes": "[1,2,4]"}, "1, 2, 4"),
        ("cudagraph_mode", {"process.arg.enforce-eager": "true"}, "NONE"),
        ("cudagraph_mode", {ASCEND: "0.11.0rc1"}, "PIECEWISE"),
        (
            "cudagraph_mode",
            {ASCEND: "absent", "process.arg.compilation-config.cudagraph_mode": "full"},
            "FULL",
        ),
        (
            "cudagraph_mode",
            {ASCEND: "0.18.0", "process.arg.compilation-config.cudagraph_mode": "FULL_AND_PIECEWISE"},
            "PIECEWISE",
        ),
        (
            "cudagraph_mode",
            {ASCEND: "0.23.0", "process.arg.compilation-config.cudagraph_mode": "FULL_DECODE_ONLY"},
            "FULL_DECODE_ONLY",
        ),
    ],
)
def test_in_force(setting: str, known: dict[str, str], value: str) -> None:
    """The first that tells counts, in one spelling; a default of the running version needs no flag."""
    found = followed(catalog.IN_FORCE[setting], **known)
    assert found
    assert value == found.value


@pytest.mark.parametrize(
    ("setting", "known", "says"),
    [
        ("max_num_seqs", {}, "not given: vLLM chooses"),
        ("dtype", {"process.arg.dtype": "auto"}, "not given: vLLM chooses"),
        ("prefix_caching", {"vllm.engine": "V1", "vllm.version": "0.32.0"}, "not given: vLLM chooses"),
        ("async_scheduling", {"vllm.version": "0.1.dev7+gabc"}, "0.1.dev7+gabc is a build that knows no release"),
        ("cudagraph_mode", {ASCEND: "0.23.0"}, "vllm-ascend takes FULL_AND_PIECEWISE or falls back"),
        ("cudagraph_mode", {ASCEND: "0.10.2rc1"}, "not given: vLLM chooses"),
        ("cudagraph_mode", {ASCEND: "0.11.0rc1", "process.arg.optimization-level": "3"}, "not given: vLLM chooses"),
        (
            "cudagraph_mode",
            {ASCEND: "0.11.0rc1", "process.arg.additional-config": '{"torchair_graph_config":{"enabled":true}}'},
            "not given: vLLM chooses",
        ),
        ("cudagraph_mode", {ASCEND: "absent"}, "not given: vLLM chooses"),
    ],
)
def test_not_told(setting: str, known: dict[str, str], says: str) -> None:
    """What depends on the model, the device or what else was given is unreadable, and says so."""
    found = followed(catalog.IN_FORCE[setting], **known)
    assert found
    assert (None, says) == (found.value, found.why[: len(says)])


def test_unreadable_arguments() -> None:
    """An argument that cannot be read is no default; of arguments that nobody looked at nothing follows."""
    facts = (Fact("process.arg.tensor-parallel-size", None, "/proc/7/cmdline", "masked"),)
    found = {fact.name: fact for fact in complete(facts)}

    assert (None, "masked") == (
        found["effective.tensor_parallel_size"].value,
        found["effective.tensor_parallel_size"].why,
    )
    assert "effective.max_num_seqs" not in found


def test_a_process_that_is_not_found() -> None:
    """Where the process is not found, all that it would tell is unreadable for that reason."""
    found = {fact.name: fact for fact in complete((Fact("process.pid", None, "/proc", "share its namespace"),))}

    assert {None} == {found[name].value for name in ("process.nofile", "effective.load_format", "effective.cpu_room")}
    assert {"share its namespace"} == {fact.why for fact in found.values()}
    assert "ascend.memory" not in found


@pytest.mark.parametrize(
    ("fact", "known", "value"),
    [
        ("ascend.alloc_conf", {ASCEND: "0.13.0"}, "neither"),
        ("ascend.alloc_conf", {ASCEND: "0.14.0rc1"}, "expandable_segments:True"),
        ("ascend.alloc_conf", {ASCEND: "0.14.0rc1", "process.arguments_others": "enable-sleep-mode"}, "neither"),
        (
            "ascend.alloc_conf",
            {ASCEND: "0.14.0rc1", "process.env.PYTORCH_NPU_ALLOC_CONF": "garbage_collection_threshold:0.8"},
            "neither",
        ),
        (
            "ascend.alloc_conf",
            {ASCEND: "0.14.0rc1", "process.env.PYTORCH_NPU_ALLOC_CONF.max_split_size_mb": "250"},
            "max_split_size_mb:250",
        ),
        ("ascend.mlp_prefetch", {ASCEND: "0.12.0rc1"}, "off"),
        (
            "ascend.mlp_prefetch",
            {ASCEND: "0.12.0rc1", "process.env.VLLM_ASCEND_ENABLE_DENSE_OPTIMIZE": "1"},
            "VLLM_ASCEND_ENABLE_DENSE_OPTIMIZE without VLLM_ASCEND_ENABLE_PREFETCH_MLP",
        ),
        ("ascend.mlp_prefetch", {ASCEND: "0.13.0rc1", "process.env.VLLM_ASCEND_ENABLE_PREFETCH_MLP": "1"}, "on"),
        ("ascend.flashcomm1", {ASCEND: "0.11.0rc0", "process.env.VLLM_ASCEND_ENABLE_FLASHCOMM1": "1"}, "off"),
        ("ascend.flashcomm1", {ASCEND: "0.11.0rc1", "process.env.VLLM_ASCEND_ENABLE_FLASHCOMM1": "1"}, "on"),
        ("ascend.flashcomm1", {ASCEND: "0.10.2rc1", "process.env.VLLM_ASCEND_ENABLE_FLASHCOMM": "1"}, "on"),
        ("ascend.flashcomm1", {ASCEND: "0.20.2rc1", "process.env.VLLM_ASCEND_ENABLE_FLASHCOMM": "1"}, "off"),
        (
            "ascend.flashcomm1",
            {
                ASCEND: "0.20.2rc1",
                "process.env.VLLM_ASCEND_ENABLE_FLASHCOMM1": "1",
                "process.arg.additional-config": '{"enable_flashcomm1":false}',
            },
            "off",
        ),
        ("ascend.memory", {"ascend.devices": "8x 910B3"}, "64 GB"),
        ("ascend.memory", {"ascend.devices": "4x 910B4"}, "32 GB"),
        ("model.family", {"vllm.model_root": "/models/qwen3-32b-w8a8"}, "Qwen3-32B"),
        ("model.family", {"vllm.model_root": "Qwen/Qwen3-30B-A3B-Instruct"}, "Qwen3-30B-A3B"),
        ("model.family", {"vllm.model_root": "Qwen/Qwen2.5-0.5B"}, "Qwen2.5-0.5B"),
        ("model.family", {"vllm.model_root": "Qwen/QwQ-32B"}, "QwQ-32B"),
        ("model.family", {"vllm.model_root": "meta-llama/Llama-3.1-70B"}, "other"),
        ("effective.allocators", {"process.allocator": "server=libc engine=jemalloc+tcmalloc"}, "several"),
        ("effective.allocators", {"process.allocator": "libc"}, "one"),
        ("sophgo.python_path", {"process.env.PYTHONPATH": "/w/vllm:/w/vllm_sophon/"}, "official"),
        ("sophgo.python_path", {"process.env.PYTHONPATH": "/w/vllm_sophon:/w/vllm"}, "vllm_sophon"),
        ("sophgo.python_path", {"process.env.PYTHONPATH": "/opt/tools"}, "unset"),
        ("effective.cpu_room", {"process.cpu_quota": "none", "process.affinity": "0-191"}, "enough"),
        ("effective.cpu_room", {"process.cpu_quota": "4", "process.affinity": "server=0-3 worker=0"}, "enough"),
        ("effective.cpu_room", {"process.cpu_quota": "2.5", "process.affinity": "0-191;24-47"}, "2.5 of 192 CPUs"),
    ],
)
def test_what_follows(fact: str, known: dict[str, str], value: str) -> None:
    """Each fact that follows says what several facts come to."""
    found = followed(fact, **{"process.arguments_others": "none", **known})
    assert found
    assert value == found.value


@pytest.mark.parametrize(
    ("fact", "known", "why"),
    [
        (
            "ascend.flashcomm1",
            {ASCEND: "0.20.2rc1", "process.arg.additional-config": '{"a":1,"b":…#0123456789ab'},
            "--additional-config is too long to be told, or is no JSON",
        ),
        (
            "effective.cpu_room",
            {"process.cpu_quota": "much", "process.affinity": "0-3"},
            "process.cpu_quota is no number",
        ),
        ("ascend.alloc_conf", {ASCEND: "main"}, "main is not a version"),
    ],
)
def test_sources_that_cannot_be_read(fact: str, known: dict[str, str], why: str) -> None:
    """What a source does not let be told is not told, and why not is said."""
    found = followed(fact, **known)
    assert found
    assert (None, why) == (found.value, found.why)


def test_nothing_of_ascend_elsewhere() -> None:
    """What is Ascend's does not follow where vllm-ascend is not installed."""
    names = {fact.name for fact in complete([Fact(name, value) for name, value in {**UNSET, ASCEND: "absent"}.items()])}

    assert not {"ascend.alloc_conf", "ascend.mlp_prefetch", "ascend.flashcomm1", "ascend.memory"} & names


def test_memory_of_other_products() -> None:
    """Products whose name does not tell their memory are not guessed."""
    for devices in ("8x 910B3, 8x 910B4", "2x Ascend910"):
        found = followed("ascend.memory", **{"ascend.devices": devices})
        assert found
        assert (None, "how much memory these NPUs have is not known by their names") == (found.value, found.why)


def test_sources_are_facts() -> None:
    """Each setting in force is told by facts that there are."""
    assert {name for one in SETTINGS.values() for name in (one.told, *one.given)} <= catalog.FACTS.keys()


@given(st.dictionaries(st.sampled_from(sorted(catalog.FACTS)), st.one_of(st.none(), st.text(max_size=30)), max_size=40))
def test_any_facts(told: dict[str, str | None]) -> None:
    """Whatever facts say, what follows are facts with a value or a reason, and following again changes nothing."""
    given_facts = [Fact(name, value, "", "" if value is not None else "masked") for name, value in told.items()]
    found = complete(given_facts)

    assert len({fact.name for fact in found}) == len(found)
    assert all(fact.value is not None or fact.why for fact in found)
    assert found == complete(found)
