"""What can be turned on the simulated server: who it is, how fast it is, and what is wrong with it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError


class KnobError(ValueError):
    """A change that names an unknown knob or gives one a value it cannot take, told in one line."""


def _error_status(value: int) -> int:
    known = {status.value for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST}
    if value and value not in known:
        raise ValueError("must be 0 (off) or an HTTP error status")
    return value


Status = Annotated[int, AfterValidator(_error_status)]
Seconds = Annotated[float, Field(ge=0)]
Factor = Annotated[float, Field(gt=0)]
Positive = Annotated[int, Field(ge=1)]
Tokens = Annotated[int, Field(ge=0)]
Names = Annotated[tuple[str, ...], Field(strict=False)]  # JSON has lists only


class Knobs(BaseModel):
    """Every setting of the simulated server; the defaults are a healthy one.

    All take effect at once, but for the labels of the metrics: they show `model` and `num_gpu_blocks` as they were at
    the last (re)start.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    model: str = "tiny"
    version: str = "0.32.0"
    max_model_len: Positive = 8192
    num_gpu_blocks: Positive = 4096
    max_running: Positive = 256

    ttft: Seconds = 0.05
    tpot: Seconds = 0.01
    jitter: float = Field(default=0.05, ge=0, le=5, description="sigma of the lognormal factor on every wait")
    load_factor: float = Field(default=0.02, ge=0, description="what each other running request adds to every wait")

    slow: Factor = 1.0
    ttft_slow: Factor = 1.0
    tpot_slow: Factor = 1.0
    hang: bool = False
    asleep: bool = Field(default=False, description="the engine sleeps: requests wait until it is woken")
    prefix_caching: bool = Field(default=True, description="a prompt seen before costs less")
    chunked_prefill: bool = Field(default=True, description="a long prompt does not stop the streams of others")
    garbage: bool = False
    status: Status = 0
    drop_after: Tokens = 0
    error_after: Tokens = 0
    reject: Names = ()
    role_delay: bool = Field(default=False, description="send the role chunk when scheduled, not with the first token")
    tokens_per_chunk: Positive = 1
    reasoning: bool = False
    usage: bool = True
    log_stats: bool = True
    metrics_status: Status = 0
    models_status: Status = 0

    def changed(self, change: Mapping[str, object]) -> "Knobs":
        """Promises knobs with `change` applied, all of it or none: raises KnobError."""
        try:
            return Knobs.model_validate({**self.model_dump(), **change})
        except ValidationError as error:
            raise KnobError(_line(error)) from error


def _line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown knob {name!r}; known are {', '.join(sorted(Knobs.model_fields))}"
    return f"knob {name!r}: {first['msg'].removeprefix('Value error, ')}, got {first['input']!r}"
