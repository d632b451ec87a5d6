"""Records live workloads and measures what a row costs, against pyarrow and DuckDB.

usage: size.py SAMPLER OUT SECONDS WORKLOADS      (root, on cgroup v1 or v2)
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

# Twenty columns with cgroup and time, all read in every row.
FIELDS = (
    "current,swap,events_max,local_oom_kill,max,peak,anon,file,kernel,shmem,file_mapped,file_dirty,"
    "inactive_anon,active_anon,inactive_file,active_file,pgfault,pgmajfault"
).split(",")

# Kinds of work, in Python so that nothing has to be installed; each is a real process with a life of its own.
WORK = {
    "idle": "time.sleep(9999)",
    "leak": "a=[]\nwhile 1: a.append(bytearray(random.randrange(4096,65536))); time.sleep(random.expovariate(20))",
    "saw": "while 1:\n a=[]\n for _ in range(random.randrange(50,300)): a.append(os.urandom(20000)); time.sleep(0.05)",
    "cache": (
        "f=open(P,'wb+')\nwhile 1:\n f.write(os.urandom(random.randrange(1,200000))); f.flush(); time.sleep(random.expovariate(10))\n"
        " if f.tell()>2e7: f.seek(0)"
    ),
    "server": (
        "d={}\nwhile 1:\n for _ in range(random.randrange(400)): d[random.randrange(20000)]=str(random.random())*random.randrange(30)\n"
        " time.sleep(random.expovariate(5))"
    ),
    "json": (
        "import json\nwhile 1:\n x=[{'k':i,'v':random.random()} for i in range(random.randrange(10,20000))]\n s=json.dumps(x); json.loads(s)\n"
        " time.sleep(random.expovariate(2))"
    ),
    "fork": "while 1: subprocess.run(['/bin/ls','/usr/lib'],stdout=subprocess.DEVNULL); time.sleep(random.expovariate(3))",
    "sqlite": (
        "import sqlite3\nc=sqlite3.connect(P+'.db'); c.execute('create table t(a,b)')\nwhile 1:\n"
        " c.executemany('insert into t values(?,?)',[(i,'x'*random.randrange(99)) for i in range(random.randrange(300))]); c.commit()\n"
        " c.execute('select sum(length(b)) from t').fetchall(); time.sleep(random.expovariate(3))"
    ),
}


def hierarchies():
    mounts = [line.split() for line in open("/proc/mounts")]
    memory = [m[1] for m in mounts if m[2] == "cgroup" and "memory" in m[3].split(",")]
    return memory or [m[1] for m in mounts if m[2] == "cgroup2"]


def main():
    sampler, out, seconds, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    root = Path(hierarchies()[0]) / f"sampler-size-{os.getpid()}"
    scratch = tempfile.TemporaryDirectory()
    children = []
    try:
        names = list(WORK)
        root.mkdir()
        for i in range(count):
            name = names[i % len(names)]
            folder = root / f"{name}{i:02}"
            folder.mkdir()
            code = f"import os,sys,time,random,subprocess\nP={scratch.name + '/' + str(i)!r}\n" + WORK[name]
            enter = f"echo $$ > {folder}/cgroup.procs && exec python3 -c \"$0\""
            children.append(subprocess.Popen(["sh", "-c", enter, code]))
        time.sleep(3)
        subprocess.run(
            [sampler, "record", "--out", out, "--for", f"{seconds}s", "--interval", "100ms", "--slow-interval", "100ms",
             "--seal-every", "1h", "--fields", ",".join(FIELDS), "--cgroup", f"/{root.name}/*", "--no-processes"],
            check=True, stderr=subprocess.DEVNULL,
        )
    finally:
        for child in children:
            child.send_signal(signal.SIGKILL)
            child.wait()
        for folder in sorted(root.glob("*"), reverse=True) if root.exists() else []:
            for _ in range(50):
                try:
                    folder.rmdir()
                    break
                except OSError:
                    time.sleep(0.05)
        root.exists() and root.rmdir()
        scratch.cleanup()
    compare(out)


def compare(out):
    files = sorted(map(str, out.glob("samples/**/*.parquet")))
    ours = sum(os.path.getsize(f) for f in files)
    db = duckdb.connect()
    db.execute("set threads=2")
    columns = ["cgroup", "time", "gap_us"] + FIELDS
    table = db.sql(f"select {','.join(columns)} from read_parquet({files}) order by cgroup, time").to_arrow_table()
    rows = table.num_rows
    spread = db.sql(f"select count(distinct current), avg(gap_us) from read_parquet({files})").fetchall()[0]
    print(f"{rows} rows, {spread[0]} different sizes, mean gap {spread[1]:.0f} us")
    print(f"ours: {ours / rows:.2f} bytes a row")
    costs = db.sql(
        f"select path_in_schema, sum(total_compressed_size) / {rows} from parquet_metadata({files}) group by 1 order by 2 desc limit 14"
    ).fetchall()
    print("  " + ", ".join(f"{name} {cost:.3f}" for name, cost in costs))
    # The same values with the exact time of each row, as other writers would have it.
    exact = db.sql(
        f"select cgroup, (epoch_ns(time) + 1000 * sum(gap_us) over (partition by time order by cgroup, id))::bigint as t_ns, {','.join(FIELDS)} from read_parquet({files}) order by cgroup, t_ns"
    ).to_arrow_table()
    numbers = [f.name for f in exact.schema if not pa.types.is_string(f.type) and not pa.types.is_floating(f.type)]
    with tempfile.TemporaryDirectory() as folder:
        theirs = folder + "/pyarrow.parquet"
        pq.write_table(exact, theirs, compression="zstd", compression_level=3, use_dictionary=["cgroup"],
                       column_encoding={name: "DELTA_BINARY_PACKED" for name in numbers})
        print(f"pyarrow, DELTA + zstd 3, time of each row in ns: {os.path.getsize(theirs) / rows:.2f} bytes a row")
        plain = folder + "/default.parquet"
        pq.write_table(exact, plain)
        print(f"pyarrow, default: {os.path.getsize(plain) / rows:.2f} bytes a row")
        aggregates = ",".join(f"min({c}),max({c}),avg({c})" for c in ("current", "anon", "file", "pgfault"))

        def once(source):
            begun = time.perf_counter()
            db.sql(f"select cgroup, {aggregates} from read_parquet({source}) group by cgroup").fetchall()
            return time.perf_counter() - begun

        # The same table, with the columns that this recording left empty: what a stable schema costs in the footer.
        same = folder + "/same.parquet"
        whole = pq.read_table(files[0], partitioning=None) if len(files) == 1 else db.sql(f"from read_parquet({files})").to_arrow_table()
        integers = [f.name for f in whole.schema if pa.types.is_integer(f.type) or pa.types.is_timestamp(f.type)]
        pq.write_table(whole, same, compression="zstd", compression_level=3, use_dictionary=["cgroup"],
                       column_encoding={name: "DELTA_BINARY_PACKED" for name in integers})
        for name, source in (("the same table", same), ("only the 20 columns", theirs)):
            pairs = [(once(files), once([source])) for _ in range(51)]
            ratio = sorted(a / b for a, b in pairs)[len(pairs) // 2]
            print(f"DuckDB, min/max/avg of 4 columns by cgroup: ours takes {ratio:.2f} of the time of pyarrow's file of {name} "
                  f"(median of 51 pairs; {min(a for a, _ in pairs) * 1e3:.1f} ms at best)")


main()
