"""Time and memory of `sampler postmortem --last` on a large recording, of a full scan (`sampler analyze`) in the same run, and what
the HTML report of it weighs. Ends with 1 when a bar is missed."""
import json, os, statistics, subprocess, sys, tempfile, time

sampler, folder, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])


def run(*args):
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen([sampler, *args], stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - begun
        if status:
            sys.exit(f"{args} ended with {status}")
        out.seek(0)
        printed = out.read()
    return seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, printed


missed = []


def bar(what, value, holds, limit):
    print(f"{what:<42} {value}; bar: {limit}{'' if holds else ' MISSED'}")
    if not holds:
        missed.append(what)


pages = [run("postmortem", folder, "--last", "--json") for _ in range(rounds)]
print(json.loads(pages[0][3])["incidents"][0]["verdict"])
scan = run("analyze", folder, "--json")
report = os.path.join(folder, "report.html")
drawn = run("report", folder, "--html", report)
size = os.path.getsize(report) / 2**20
seconds, mib, cpu = (statistics.median(column) for column in list(zip(*pages))[:3])
print(f"full scan: {scan[0]:.2f} s (CPU {scan[2]:.2f} s), {scan[1]:.0f} MiB")
bar("postmortem --last, seconds", f"{seconds:.2f} (CPU {cpu:.2f})", seconds < 2, "2")
bar("postmortem --last, MiB", f"{mib:.0f}", mib < 300, "300")
bar("a full scan over postmortem --last", f"{scan[0] / seconds:.1f}", scan[0] >= 20 * seconds, "20")
bar("the HTML report of the day, MiB", f"{size:.2f}", size < 5, "5")
print(f"the report took {drawn[0]:.2f} s (CPU {drawn[2]:.2f} s), {drawn[1]:.0f} MiB")
sys.exit(f"missed: {', '.join(missed)}" if missed else 0)
