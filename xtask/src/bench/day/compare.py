"""CPU and memory of `sampler analyze` against DuckDB on the same columns of the same files, in turn.

usage: compare.py SAMPLER DIR ROUNDS COLUMNS
"""

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import duckdb


def cpu(usage):
    return usage.ru_utime + usage.ru_stime


def analyze(sampler, folder):
    begun = time.perf_counter()
    child = subprocess.Popen([sampler, "analyze", "--json", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"sampler analyze ended with {child.returncode}")
    return cpu(usage), time.perf_counter() - begun, usage.ru_maxrss / 1024


def main():
    sampler, folder, rounds, columns = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4].split(",")
    files = sorted(map(str, Path(folder).glob("samples/**/*.parquet")))
    size = sum(os.path.getsize(file) for file in files)
    db = duckdb.connect()
    rows = db.sql(f"select count(*) from read_parquet({files})").fetchall()[0][0]
    print(f"{rows / 1e6:.1f} million rows, {len(columns)} columns, {len(files)} files, {size / 2**20:.0f} MiB, {size / rows:.2f} bytes a row")
    aggregates = ",".join(f"min({c}),max({c}),avg({c})" for c in columns)
    queries = {
        "by cgroup": f"select cgroup, {aggregates} from read_parquet({files}) group by cgroup",
        "of all rows": f"select {aggregates} from read_parquet({files})",
    }

    def once(query):
        before, begun = cpu(resource.getrusage(resource.RUSAGE_SELF)), time.perf_counter()
        db.sql(query).fetchall()
        return cpu(resource.getrusage(resource.RUSAGE_SELF)) - before, time.perf_counter() - begun

    ours, theirs = [], {name: [] for name in queries}
    for turn in range(rounds):
        ours.append(analyze(sampler, folder))
        for name, query in queries.items():
            theirs[name].append(once(query))
        print(f"round {turn + 1}: sampler analyze {ours[-1][0]:.2f} s of CPU, {ours[-1][1]:.2f} s, {ours[-1][2]:.0f} MiB; DuckDB "
              + ", ".join(f"{name} {theirs[name][-1][0]:.2f} s of CPU, {theirs[name][-1][1]:.2f} s" for name in queries), flush=True)
    for name in queries:
        ratios = [a[0] / b[0] for a, b in zip(ours, theirs[name])]
        print(f"CPU of sampler analyze over DuckDB's min/max/avg {name}: {statistics.median(ratios):.2f} (bar 1.5)")
    print(f"resident memory of sampler analyze: {max(a[2] for a in ours):.0f} MiB (bar 300)")


main()
