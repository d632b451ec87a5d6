"""Public series through `sampler import` and `sampler analyze`: how many presumed healthy ones are called a leak.

Arguments: the sampler, the folder of the series (one folder a set, gzipped CSV; not part of this repository).
"""
import collections
import csv
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile
from datetime import datetime, timezone

# Percentages become bytes of a machine of this size.
WHOLE = 16 << 30
# Sets whose series are presumed healthy; the others hold aging or are unlabelled.
HEALTHY = {"alibaba-2018-machines", "alibaba-genai-2026", "socialnetwork-normal", "exathlon-jvm", "bitbrains-rnd", "eso-healthy"}


def seconds(text):
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=timezone.utc).timestamp()


def rows(folder):
    """Set, series, time, bytes, working set or None, CPU seconds so far or None."""
    for path in sorted(folder.glob("*/*.csv.gz")):
        kind = path.parent.name
        with gzip.open(path, "rt") as file:
            for row in csv.DictReader(file):
                name, cpu = path.name.removesuffix(".csv.gz"), None
                try:
                    if kind == "alibaba-2018-machines":
                        yield kind, name, float(row["ts"]), float(row["mem_util_percent"]) / 100 * WHOLE, cpu
                    elif kind == "alibaba-genai-2026":
                        yield kind, row["pod"], float(row["ts"]), float(row["mem_util"]) / 100 * WHOLE, cpu
                    elif kind == "socialnetwork-normal":
                        yield kind, row["pod"], float(row["ts"]), float(row["memory_working_set"]), float(row["cpu_usage"])
                    elif kind == "bitbrains-rnd":
                        yield kind, name, float(row["ts"]), float(row["mem_used_kb"]) * 1024, float(row["cpu_pct"])
                    elif kind == "aging-llm-server":
                        yield kind, name, seconds(row["currentTime"]), float(row["usedMemory"]), float(row["totalCpuUsage(%)"])
                    elif kind == "eso-memorytools":
                        leaky = "377208" in name
                        yield ("eso-leak" if leaky else "eso-healthy"), f"{name}/{row['Process Name']}-{row['Process ID']}", seconds(row["Time"]), float(row["Memory Usage"]), cpu
                    elif kind == "exathlon-jvm":
                        for key, value in row.items():
                            if key.endswith("jvm_heap_used_value") and value:
                                yield kind, f"{name}/{key}", float(row["t"]), float(value), cpu
                except (ValueError, KeyError, TypeError):
                    continue


def main():
    sampler, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    series = collections.defaultdict(list)
    for kind, name, time, size, cpu in rows(folder):
        series[kind, name].append((time, size, cpu))
    verdicts = collections.defaultdict(collections.Counter)
    leaks = []
    with tempfile.TemporaryDirectory() as work:
        table = pathlib.Path(work) / "public.csv"
        with table.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["cgroup", "ts_ns", "current", "cpu_usage_us"])
            for (kind, name), values in series.items():
                used = 0.0
                last = None
                for time, size, cpu in sorted(values):
                    used += 0 if cpu is None or last is None else cpu * (time - last)
                    last = time
                    out.writerow([f"/{kind}/{name}", int(time * 1e9), int(size), "" if cpu is None else int(used * 1e4)])
        recording = str(pathlib.Path(work) / "recording")
        subprocess.run([sampler, "import", str(table), "--out", recording], check=True, stderr=subprocess.DEVNULL)
        document = json.loads(subprocess.run([sampler, "analyze", recording, "--json"], check=True, capture_output=True).stdout)
    for cgroup in document["cgroups"]:
        kind = cgroup["path"].split("/")[1]
        verdicts[kind][cgroup["verdict"]] += 1
        if cgroup["verdict"] == "leak" and kind in HEALTHY:
            leaks.append(f"{cgroup['path']}: {'; '.join(cgroup['evidence'])}")
    for kind, counts in sorted(verdicts.items()):
        print(f"{kind:<22} {sum(counts.values()):>4}: " + ", ".join(f"{name} {n}" for name, n in counts.most_common()))
    healthy = sum(sum(counts.values()) for kind, counts in verdicts.items() if kind in HEALTHY)
    print(*leaks, sep="\n")
    print(f"called a leak among {healthy} presumed healthy: {len(leaks)} ({100 * len(leaks) / healthy:.1f} %)")


main()
