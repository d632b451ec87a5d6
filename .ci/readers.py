"""Other programs read a recording without us: the lines of the README, on the recording given."""

import sys

import duckdb
import polars

dir = sys.argv[1]
rows = duckdb.sql(
    f"select cgroup, max(current) peak, max(local_oom_kill) kills from read_parquet('{dir}/samples/**/*.parquet') group by cgroup"
).fetchall()
assert len(rows) == 1 and rows[0][1] > 60 << 20 and rows[0][2] == 1, rows
exact = duckdb.sql(
    f"""select min(moment - time) a, max(moment - time) b from (select time, time + to_microseconds((sum(gap_us)
        over (partition by time order by cgroup, id))::bigint) moment from read_parquet('{dir}/samples/**/*.parquet'))"""
).fetchall()[0]
assert 0 <= exact[0].total_seconds() <= exact[1].total_seconds() < 1, exact
frame = polars.scan_parquet(f"{dir}/samples/**/*.parquet").group_by("cgroup").agg(polars.col("current").max()).collect()
assert frame["current"][0] == rows[0][1], frame
limits = duckdb.sql(f"select distinct max from read_parquet('{dir}/samples/**/*.parquet') where max is not null").fetchall()
assert limits == [(float(64 << 20),)], limits
print(f"DuckDB and Polars agree: {rows}")
