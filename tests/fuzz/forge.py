"""A process that imports hpcfl once and forks for every case: a crash, a hang or too much memory costs that case alone.

Reads a request per line, {"probe", "cases", "folder", "limit_s"} in JSON: what each case gives the probe. Quick ones
share a fork. Answers with {"code", "hangs", "said"} of each: the exit code (negative for a signal), whether it took too
long, and what came out on stdout and stderr.
"""

import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path

ROOM = 1 << 30
"""Bytes of address space that a case may take beyond what the imports did."""
LIMIT = 1 << 16
"""Bytes that are read of what a case says."""
TRACEBACK = 70
"""Exit code of a case with an exception that nobody explained."""


def main() -> None:
    """Serve until the requests end."""
    import probes

    probes.warm()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    for line in sys.stdin:
        print(json.dumps(attempt(probes, **json.loads(line))), flush=True)


def attempt(probes, probe: str, cases: list, folder: str, limit_s: float) -> list[dict]:
    """Fork, let the child do one case after the other, and wait for so long; the answers of those it came to."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as told:
        child = os.fork()
        if not child:
            os.setsid()  # what it starts ends with it
            os._exit(work(getattr(probes, probe), cases, folder, said.fileno(), told.fileno()))
        hangs = signal.sigtimedwait([signal.SIGCHLD], limit_s) is None
        if hangs:
            os.killpg(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        signal.sigtimedwait([signal.SIGCHLD], 0)
        said.seek(0)
        told.seek(0)
        words, begin, answers = said.read(), 0, []
        for line in told.read().splitlines():
            ended, end = map(int, line.split())
            answers.append({"code": ended, "hangs": False, "said": words[begin:end][-LIMIT:].decode(errors="replace")})
            begin = end
        if len(answers) < len(cases):
            answers.append({"code": code, "hangs": hangs, "said": words[begin:][-LIMIT:].decode(errors="replace")})
        return answers


def work(probe, cases: list, folder: str, said: int, told: int) -> int:
    """In the child: the exit code of a case that ends it; the others' codes go to `told`, with where its words end."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", 1), open(2, "w", 1)  # noqa: PTH123, SIM115
    os.chdir(folder)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, [pages * resource.getpagesize() + ROOM] * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for given in cases:
        code = one(probe, given)
        os.write(told, f"{code} {os.lseek(said, 0, os.SEEK_CUR)}\n".encode())
    return 0


def one(probe, given: list) -> int:
    """The exit code of a case."""
    try:
        code = probe(*given) or 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = TRACEBACK
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else TRACEBACK


if __name__ == "__main__":
    main()
