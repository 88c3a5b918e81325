"""Start the worker, and leave a process behind that tidies up if the host dies, even together with the worker.

``python guard.py PYTHON WORKER.py REQUEST.json`` becomes the worker, run by PYTHON. Its standard input is the host's
pipe: a byte on it says that the host tidies up by itself; its end without one says that the host has gone. Only the
standard library is used.
"""

import os
import shutil
import signal
import sys
import time

REMOVALS = 500
"""How often the folder is removed, again if Lava, which may just be starting, puts something into it meanwhile."""


def guard(folder: str) -> None:
    """Wait for the host to end; if it has gone, end the whole session and remove its folder."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(null, stream)
    if os.read(0, 1):
        return
    # SIGTERM spares the tracker that then frees Lava's shared memory; whoever is stopped has to go on to end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    os.killpg(0, signal.SIGCONT)
    for _ in range(REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            break
        time.sleep(0.02)


def main() -> None:
    """Fork the guard and become the worker."""
    python, worker, request = sys.argv[1:]
    if os.fork() == 0:
        guard(os.path.dirname(request))
        os._exit(0)
    os.execv(python, [python, "-I", worker, request])


if __name__ == "__main__":
    main()
