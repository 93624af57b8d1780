"""Profiles the gateway under a workload: ``python -m benchmarks.profile WORKLOAD [--seconds 5]``.

With py-spy on the PATH, py-spy samples a gateway that ``serve`` has started. Without py-spy the
gateway runs under cProfile, which adds overhead to every Python call. Prints the top 30 functions
by own time.
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

from benchmarks import body_templates, configuration, load, machine, rounds, servers
from benchmarks.servers import KEY, Server
from benchmarks.workloads import BY_NAME, Workload

TOP = 30


def main() -> int:
    """Profile a workload; with ``--serve``, run the profiled gateway."""
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
    py_spy = shutil.which("py-spy")
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(
            servers.start_upstream(directory, workload.delay_ms, only_light=workload.only_light)
        )
        cache_url = "" if workload.cache == "off" else "memory://"
        if workload.cache == "redis":
            cache_url = (
                f"redis://127.0.0.1:{stack.enter_context(servers.start_redis(directory)).port}/0"
            )
        with_local = any(each.startswith("local") for each in workload.pool)
        if py_spy is not None:
            gateway = servers.start_gateway(
                directory, upstream.url, cache_url, with_local=with_local
            )
        else:
            path = configuration.write_configuration(directory, KEY, upstream.url, cache_url)
            if with_local:
                asyncio.run(configuration.import_ledger(path))
            gateway = servers.start_server(
                "gateway",
                lambda port: [
                    *(sys.executable, "-m", "benchmarks.profile", "--serve"),
                    *(str(path), str(port), str(profile)),
                ],
                machine.SERVER_CORE,
                directory,
                "/readyz",
            )
        _run_load(workload, stack.enter_context(gateway), seconds, directory, py_spy)
    if py_spy is not None:
        _print_sampled(profile)
    else:
        pstats.Stats(str(profile)).sort_stats("tottime").print_stats(TOP)


def _run_load(
    workload: Workload, server: Server, seconds: float, directory: Path, py_spy: str | None
) -> None:
    """Warm the gateway up and load it, sampled by py-spy if it is installed."""
    wrong, _ = rounds.check_responses(workload, {"gateway": server})
    for problem in wrong:
        print(f"WRONG {problem}", file=sys.stderr)
    template = directory / "template"
    body_templates.build_template(
        workload.query, workload.pool, workload.count, shuffled=workload.shuffled
    ).write(template)
    sampling = None
    if py_spy is not None:
        command = [py_spy, "record", "-p", str(server.process.pid), "-d", str(int(seconds) + 1)]
        command += ["--gil", "-F", "-r", "500", "-f", "raw", "-o", str(directory / "profile")]
        sampling = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    result = load.run_generator(
        f"{server.url}/graphql", template, KEY, workload.connections, seconds, seed=1
    )
    if sampling is not None:
        sampling.wait(60)
    rate = result.requests / result.seconds
    print(f"{workload.name}: {workload.title}; {result.requests} requests, {rate:.0f} a second")


def _serve(path: Path, port: int, profile: Path) -> int:
    """Run the gateway under cProfile, as ``serve`` runs it."""
    from balance_gateway.app.asgi import build_app
    from balance_gateway.app.configuration import read_settings
    from balance_gateway.server.server import Service, bind, serve_until_stopped

    service = Service(build_app(read_settings(path)), bind("127.0.0.1", port))
    profiler = cProfile.Profile()
    try:
        return profiler.runcall(serve_until_stopped, [service])
    finally:
        profiler.dump_stats(profile)


def _print_sampled(profile: Path) -> None:
    """Print the top frames of py-spy's raw output: lines of ``outer;…;inner COUNT``."""
    samples_by_frame: Counter[str] = Counter()
    for line in profile.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        samples_by_frame[stack.rpartition(";")[2]] += int(count)
    total = samples_by_frame.total()
    for frame, samples in samples_by_frame.most_common(TOP):
        print(f"{samples / total:6.1%}  {frame}")


if __name__ == "__main__":
    sys.exit(main())
