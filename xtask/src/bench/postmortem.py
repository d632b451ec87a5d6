"""Time and memory of `sampler postmortem --last` on a large recording, and of a full scan (`sampler analyze`) in the same run."""
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
        told = json.load(out)
    return seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, told


pages = [run("postmortem", folder, "--last", "--json") for _ in range(rounds)]
page = pages[0][3]["incidents"][0]
print(page["verdict"])
scan = run("analyze", folder, "--json")
seconds, mib, cpu = (statistics.median(column) for column in list(zip(*pages))[:3])
print(f"postmortem --last  {seconds:.2f} s (CPU {cpu:.2f} s), {mib:.0f} MiB; bar: 2 s, 300 MiB")
print(f"full scan          {scan[0]:.2f} s (CPU {scan[2]:.2f} s), {scan[1]:.0f} MiB")
print(f"times faster       {scan[0] / seconds:.1f}; bar: 20")
