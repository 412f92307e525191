"""POSIX shell as text: the parts that every script has, comments that stay comments, commands that stay as they are."""

import textwrap

USAGE = """\
#   sh SCRIPT            mends, keeps that over a reboot, and verifies
#   sh SCRIPT --verify   only verifies
# Exit code 1: something differs from what is wanted.
"""

START = """\
set -eu
differs=0
case ${1-} in
'') mode=mend ;;
--verify) mode=verify ;;
*)
    echo "usage: sh $0 [--verify]" >&2
    exit 2
    ;;
esac
"""

MEND = """\
if [ "$mode" = mend ] && [ "$(id -u)" -ne 0 ]; then
    echo 'run this as root, on the host itself' >&2
    exit 2
fi

mend() { # RULE, and its commands as input; where they fail, the next rule has its turn all the same
    commands=$(cat)
    [ "$mode" = mend ] || return 0
    printf 'mending %s\\n' "$1"
    sh -euc "$commands" </dev/null || {
        printf 'FAILED  %s\\n' "$1" >&2
        differs=1
    }
}
"""

SYSCTL_FILE = "/etc/sysctl.d/90-vllm-monitor.conf"
KEEP_SYSCTL = f"""\
keep_sysctl() {{ # NAME VALUE: the line of the file, in place of an earlier one
    [ "$mode" = mend ] || return 0
    file={SYSCTL_FILE}
    mkdir -p "${{file%/*}}"
    touch "$file"
    {{ grep -v "^$1 *=" "$file" || :; }} >"$file.new"
    printf '%s = %s\\n' "$1" "$2" >>"$file.new"
    mv "$file.new" "$file"
}}
"""

UNIT = "vllm-monitor-tuning.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
KEEP_UNIT = f"""\
keep_unit() {{ # RULE, and as input its part of the unit, in place of an earlier one
    part=$(cat)
    [ "$mode" = mend ] || return 0
    mkdir -p {UNIT_FILE}.d
    printf '%s\\n' "$part" >{UNIT_FILE}.d/"$1".conf
}}
"""
ENABLE_UNIT = f"""\
if [ "$mode" = mend ]; then
    cat >{UNIT_FILE} <<'END'
[Unit]
Description=Settings of the host for vLLM, one part of {UNIT}.d for each rule

[Service]
Type=oneshot
RemainAfterExit=yes

[Install]
WantedBy=multi-user.target
END
    if command -v systemctl >/dev/null; then
        systemctl daemon-reload
        systemctl enable {UNIT}
    fi
fi
"""

VERIFY = """\
holds() { # VALUE OPERATOR WANTED...
    value=$1 operator=$2
    shift 2
    case $operator in
    is | 'one of')
        for wanted; do
            [ "$value" != "$wanted" ] || return 0
        done
        return 1
        ;;
    'is not') [ "$value" != "$1" ] ;;
    'at least') [ "$value" -ge "$1" ] ;;
    'at most') [ "$value" -le "$1" ] ;;
    'in range') [ "$value" -ge "$1" ] && [ "$value" -le "$2" ] ;;
    esac
}

check() { # RULE FILES OPERATOR WANTED...: in each of the files stands what is wanted; in brackets, where it is a choice
    rule=$1 files=$2
    shift 2
    for file in $files; do
        value=$(sed 's/.*\\[\\(.*\\)\\].*/\\1/' "$file" 2>/dev/null) || value=unreadable
        if ! holds "$value" "$@" 2>/dev/null; then
            printf 'DIFFERS %s: %s is %s\\n' "$rule" "$file" "$value"
            differs=1
            return 0
        fi
    done
    printf 'OK      %s\\n' "$rule"
}
"""
OPERATORS = ("is", "one of", "is not", "at least", "at most", "in range")
"""What `holds` knows."""
END = 'exit "$differs"\n'

_WIDTH = 110


def plain(text: str) -> str:
    """Make any text one line of what can be printed: no value of another process can end a comment."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def comment(text: str) -> str:
    """Write a comment, wrapped."""
    lines = textwrap.wrap(plain(text), _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {'  ' if number else ''}{line}\n" for number, line in enumerate(lines))


def remark(text: str) -> str:
    """Write a comment as one line, however long it is: what somebody copies."""
    return f"# {plain(text)}\n"


def fed(command: str, text: str) -> str:
    """Write a command that reads a text, which no shell touches."""
    end = "END"
    while end in text.split("\n"):
        end += "_"
    return f"{command} <<'{end}'\n{text.rstrip()}\n{end}\n"


def exec_start(commands: str) -> str:
    """Write commands as a line of a systemd unit, which has its own quotes, percents and variables."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "%": "%%", "$": "$$"}
    return f'ExecStart=-/bin/sh -c "{"".join(escapes.get(letter, letter) for letter in commands.strip())}"'
