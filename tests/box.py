"""A host made of files, on which scripts run that would change a real one."""

import re
import shutil
import subprocess
from pathlib import Path

TOOLS = ("cat", "grep", "mkdir", "mv", "sed", "sh", "tee", "touch")
SYSCTL = """#!/bin/sh
name=${2%%=*}
echo "${2#*=}" >"$(echo "/proc/sys/$name" | sed 's|\\.|/|g')"
"""
SYSTEMCTL = '#!/bin/sh\necho "$*" >>/etc/systemctl.log\n'


class Box:
    """A host made of files, on which nothing but a few tools can be run; paths lead into it, whoever names them."""

    def __init__(self, root: Path, uid: int = 0) -> None:
        self.root = root
        self._bin = root / "bin"
        self._bin.mkdir(parents=True)
        for tool in TOOLS:
            (self._bin / tool).symlink_to(shutil.which(tool) or tool)
        for name, text in (("id", f"#!/bin/sh\necho {uid}\n"), ("sysctl", SYSCTL), ("systemctl", SYSTEMCTL)):
            self.put(f"/bin/{name}", self._within(text))
            (self._bin / name).chmod(0o755)

    def _within(self, text: str) -> str:
        return re.sub(r"(?<![\w*])/(?=(?:proc|sys|etc)/)", f"{self.root}/", text)

    def put(self, path: str, text: str) -> None:
        """Write a file of the host."""
        file = self.root / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def get(self, path: str) -> str:
        """Read one."""
        return (self.root / path[1:]).read_text(encoding="utf-8")

    def run(self, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a script on this host."""
        file = self.root / "script.sh"
        file.write_text(self._within(text), encoding="utf-8")
        return subprocess.run(  # noqa: S603 - our own program
            [shutil.which("sh") or "sh", str(file), *arguments],
            cwd=self.root,
            env={"PATH": str(self._bin)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
