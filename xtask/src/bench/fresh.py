"""CPU and memory of each command on a recording whose journal is not sealed, and what the page says. Ends with 1 when a bar is missed."""
import fcntl, hashlib, json, os, statistics, subprocess, sys, tempfile

sampler, folder, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
work = tempfile.mkdtemp()
html = os.path.join(work, "report.html")
# Arguments, seconds of CPU, MiB where that is bounded.
COMMANDS = {
    "postmortem --last": (["postmortem", folder, "--last", "--json"], 1, 100),
    "postmortem --html": (["postmortem", folder, "--last", "--html", html], 3, None),
    "top --once, live": (["top", folder, "--once", "--json"], 3, None),
    "top --once": (["top", folder, "--once", "--json"], 3, None),
    "info": (["info", folder, "--json"], 3, None),
    "analyze": (["analyze", folder, "--json"], 3, None),
    "advise": (["advise", folder, "--json"], 3, None),
    "report": (["report", folder, "--html", html], 8, None),
}


def run(args):
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen([sampler, *args], stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        if os.waitstatus_to_exitcode(status) not in (0, 1):
            sys.exit(f"{args} ended with {status}")
        out.seek(0)
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out.read()


# An agent that records holds this: then the kill is the last incident, and `top` follows the journal.
lock = open(os.path.join(folder, "lock"), "w")
missed = []
for name, (args, seconds, mib) in COMMANDS.items():
    held = name.startswith("postmortem") or name.endswith("live")
    fcntl.flock(lock, fcntl.LOCK_EX if held else fcntl.LOCK_UN)
    runs = [run(args) for _ in range(rounds)]
    cpu, most = statistics.median(r[0] for r in runs), max(r[1] for r in runs)
    holds = cpu < seconds and (mib is None or most < mib)
    output = open(html, "rb").read() if html in args else runs[0][2]
    print(
        f"{name:<18} {cpu:6.2f} s of CPU, {most:5.0f} MiB; bar: {seconds} s{f', {mib} MiB' if mib else ''}"
        f"{'' if holds else ' MISSED'}; output {hashlib.sha256(output).hexdigest()[:12]}"
    )
    if name == "postmortem --last":
        print(f"  {json.loads(output)['incidents'][0]['verdict']}")
    if not holds:
        missed.append(name)
sys.exit(f"missed: {', '.join(missed)}" if missed else 0)
