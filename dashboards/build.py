"""Write the dashboards as Grafana loads them: `python -m dashboards.build`, which `make dashboards` runs."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.accelerators import accelerators
from dashboards.fleet import fleet
from dashboards.overview import overview
from dashboards.regression import regression
from dashboards.vllm import vllm

HERE = Path(__file__).parent
BOARDS = (overview, regression, vllm, accelerators, fleet)


def made() -> dict[Path, str]:
    """Give the text of each file."""
    return {
        HERE / f"{make.__name__}.json": json.dumps(make().build(), cls=JSONEncoder, indent=2) + "\n" for make in BOARDS
    }


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text, encoding="utf-8")
