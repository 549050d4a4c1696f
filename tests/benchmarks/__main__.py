"""`python -m tests.benchmarks [NAME…] [--quick] [--json FILE]`: what we promise, measured beside peers.

Install the peers with the extra `bench`; those that are missing are left out, and the report says so.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.benchmarks.measure import Report
from tests.benchmarks.setting import Setting, remove

NAMES = tuple(
    (
        "log run start index search artifacts writers snapshot sync size checkout registry package workload check "
        "serve predict plugin imports"
    ).split()
)


def main(arguments: list[str] | None = None) -> int:
    """Run benchmarks and print their reports; 1 if a bound was missed by a full one."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that all works, no figures to quote")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--workload", type=Path, metavar="FILE", help="a script to use as the reference workload")
    parser.add_argument("--folder", type=Path, help="where to make the scratch folder: the disk that is measured")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    scratch = Path(tempfile.mkdtemp(prefix="runstone-benchmarks-", dir=options.folder))
    reports: dict[str, Report] = {}
    try:
        setting = Setting(scratch, options.quick, not options.alone, options.workload)
        for name in options.names or NAMES:
            begun = perf_counter()
            reports[name] = measure(name, setting)
            print(reports[name].format(), f"  [{perf_counter() - begun:.0f} s]\n", sep="\n", flush=True)
    finally:
        remove(scratch)
    if options.json:
        options.json.write_text(json.dumps(to_document(reports, quick=options.quick), indent=1) + "\n")
    missed = [f"{name}: {b.what}" for name, report in reports.items() for b in report.bounds if not b.is_met]
    met = sum(len(report.bounds) for report in reports.values()) - len(missed)
    print(f"{met} bounds met, {len(missed)} missed" + "".join(f"\n  {one}" for one in missed))
    if options.quick:
        print("These were quick ones, at small sizes: the bounds are meant for full ones.")
    return 1 if missed and not options.quick else 0


def measure(name: str, setting: Setting) -> Report:
    """Run one benchmark."""
    report: Report = import_module(f"tests.benchmarks.{name}").measure(setting)
    return report


def to_document(reports: dict[str, Report], *, quick: bool) -> dict[str, Any]:
    """All figures, and the machine they are from, as JSON values."""
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    return {"quick": quick, "machine": machine, "benchmarks": {n: r.to_document() for n, r in reports.items()}}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the scratch folder, of GiB, is removed then too
    sys.exit(main())
