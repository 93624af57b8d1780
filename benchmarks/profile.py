"""Where the gateway's time goes: ``python -m benchmarks.profile WORKLOAD [--seconds 5]``.

With py-spy on the PATH a gateway as ``serve`` starts it is sampled from outside; without, it runs
under cProfile, which makes every Python call dearer than it is. Prints the top 30 by own time.
"""

import argparse
import asyncio
import contextlib
import cProfile
import pstats
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks import configuration, load, machine, recipes, rounds, servers
from benchmarks.servers import KEY, Server
from benchmarks.workloads import BY_NAME, Workload

TOP = 30


def main() -> int:
    """Profiles, or with ``--serve`` is the profiled gateway itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="fifty-random", choices=list(BY_NAME))
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        path, port, profile = arguments.serve
        return _serve(Path(path), int(port), Path(profile))
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        _profile(BY_NAME[arguments.name], arguments.seconds, Path(folder))
    return 0


def _profile(workload: Workload, seconds: float, directory: Path) -> None:
    profile = directory / "profile"
    spy = shutil.which("py-spy")
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(
            servers.upstream(directory, workload.delay_ms, only_light=workload.only_light)
        )
        cache_url = "" if workload.cache == "off" else "memory://"
        if workload.cache == "redis":
            cache_url = f"redis://127.0.0.1:{stack.enter_context(servers.redis(directory)).port}/0"
        with_local = any(one.startswith("local") for one in workload.pool)
        if spy is not None:
            gateway = servers.gateway(directory, upstream.url, cache_url, with_local=with_local)
        else:
            path = configuration.write(directory, KEY, upstream.url, cache_url)
            if with_local:
                asyncio.run(configuration.fill_embedded_ledger(path))
            gateway = servers.running(
                "gateway",
                lambda port: [
                    *(sys.executable, "-m", "benchmarks.profile", "--serve"),
                    *(str(path), str(port), str(profile)),
                ],
                machine.SERVER_CORE,
                directory,
                "/readyz",
            )
        _load(workload, stack.enter_context(gateway), seconds, directory, spy)
    if spy is not None:
        _print_sampled(profile)
    else:
        pstats.Stats(str(profile)).sort_stats("tottime").print_stats(TOP)


def _load(
    workload: Workload, server: Server, seconds: float, directory: Path, spy: str | None
) -> None:
    """Warms the gateway up and loads it, under the eyes of py-spy if there is one."""
    wrong, _ = rounds.checked(workload, {"gateway": server})
    for problem in wrong:
        print(f"WRONG {problem}", file=sys.stderr)
    recipe = directory / "recipe"
    recipes.recipe_of(
        workload.query, workload.pool, workload.count, shuffled=workload.shuffled
    ).write(recipe)
    watching = None
    if spy is not None:
        command = [spy, "record", "-p", str(server.process.pid), "-d", str(int(seconds) + 1)]
        command += ["--gil", "-F", "-r", "500", "-f", "raw", "-o", str(directory / "profile")]
        watching = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    measured = load.run(f"{server.url}/graphql", recipe, KEY, workload.connections, seconds, seed=1)
    if watching is not None:
        watching.wait(60)
    rate = measured.requests / measured.seconds
    print(f"{workload.name}: {workload.title}; {measured.requests} requests, {rate:.0f} a second")


def _serve(path: Path, port: int, profile: Path) -> int:
    """The gateway as ``serve`` runs it, from the first request on under cProfile."""
    from balance_gateway.app import build_app
    from balance_gateway.config.reader import read_settings
    from balance_gateway.server.server import Service, bind, serve_until_stopped

    service = Service(build_app(read_settings(path)), bind("127.0.0.1", port))
    profiler = cProfile.Profile()
    try:
        return profiler.runcall(serve_until_stopped, [service])
    finally:
        profiler.dump_stats(profile)


def _print_sampled(profile: Path) -> None:
    """The top of py-spy's raw stacks: lines of ``outer;…;inner COUNT``."""
    own: Counter[str] = Counter()
    for line in profile.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        own[stack.rpartition(";")[2]] += int(count)
    total = own.total()
    for frame, samples in own.most_common(TOP):
        print(f"{samples / total:6.1%}  {frame}")


if __name__ == "__main__":
    sys.exit(main())
