"""Start an S3 server, Redis and two replicas on this machine, to try them: `make replicas`. Ctrl-C ends all of them.

Nothing is kept: their data is in a temporary directory.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ZOT = Path(sys.executable).with_name("zot")
START_LIMIT_S = 60.0
KEYS = {"accesskey": "access", "secretkey": "a-secret"}


def main() -> int:
    """Run until Ctrl-C, or until one of the programs ends; 1 if a program is missing or does not start."""
    gateway = shutil.which("versitygw", path=str(ROOT / ".cache" / "bin")) or shutil.which("versitygw")
    redis = shutil.which("redis-server")
    if gateway is None or redis is None:
        say("versitygw or redis-server is missing: make test-deps")
        return 1
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="zot-replicas-")))
        (folder / "buckets" / "registry").mkdir(parents=True)
        s3, database, *ports = (free_port() for _ in range(4))
        login = ["--access", KEYS["accesskey"], "--secret", KEYS["secretkey"]]
        programs = [
            start(running, [gateway, *login, "--port", f"127.0.0.1:{s3}", "--quiet", "posix", folder / "buckets"]),
            start(
                running,
                [
                    redis,
                    "--bind",
                    "127.0.0.1",
                    "--port",
                    database,
                    "--dir",
                    folder,
                    "--save",
                    "",
                    "--loglevel",
                    "warning",
                ],
            ),
        ]
        try:
            wait(lambda: all(accepts(port) for port in (s3, database)))
            for port in ports:
                config = folder / f"replica-{port}.json"
                config.write_text(json.dumps(configuration(folder, port, s3, database), indent=2))
                programs.append(start(running, [ZOT, "serve", config]))
                wait(partial(answers, port))
                say(f"http://127.0.0.1:{port}  zot replicas {config}")
            while all(program.poll() is None for program in programs):
                time.sleep(0.5)
        except KeyboardInterrupt:
            return 0
        except TimeoutError as error:
            say(str(error))
    return 1


def configuration(folder: Path, port: int, s3: int, database: int) -> dict[str, object]:
    """Return the configuration of a replica: only its directory and its port are its own."""
    bucket = {
        "name": "s3",
        "bucket": "registry",
        "region": "us-east-1",
        "regionendpoint": f"http://127.0.0.1:{s3}",
        "forcepathstyle": True,
        "secure": False,
        "rootdirectory": "/zot",
        **KEYS,
    }
    storage = {
        "rootDirectory": str(folder / f"replica-{port}"),
        "remoteCache": True,
        "cacheDriver": {"name": "redis", "url": f"redis://127.0.0.1:{database}", "keyprefix": "zot"},
        "storageDriver": bucket,
    }
    http = {"address": "127.0.0.1", "port": str(port)}
    return {"storage": storage, "http": http, "log": {"level": "warn"}}


def start(running: ExitStack, command: list[object]) -> subprocess.Popen[bytes]:
    """Start a program, which is ended with `running`."""
    program = subprocess.Popen([str(word) for word in command], start_new_session=True)
    running.callback(program.wait)
    running.callback(program.terminate)
    return program


def free_port() -> int:
    """Return a port that no program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Tell whether a program listens on a port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def answers(port: int) -> bool:
    """Tell whether a replica is ready."""
    with suppress(OSError, urllib.error.HTTPError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
        return True
    return False


def wait(condition: Callable[[], bool]) -> None:
    """Wait for a condition. Raises TimeoutError."""
    give_up = time.monotonic() + START_LIMIT_S
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError("a program did not start: its output is above")
        time.sleep(0.1)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
