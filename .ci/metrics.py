"""The metrics of a live recorder, read by Prometheus' own parsers: prometheus_client's of OpenMetrics and, where it is, promtool."""

import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

sampler, address = sys.argv[1], "127.0.0.1:9464"
with tempfile.TemporaryDirectory() as out:
    agent = subprocess.Popen([sampler, "record", "--out", out, "--metrics", address], stderr=subprocess.DEVNULL)
    try:
        for _ in range(50):
            time.sleep(0.2)
            try:
                answer = urllib.request.urlopen(f"http://{address}/metrics", timeout=5)
                text = answer.read().decode()
                if "sampler_cpu_seconds_total " in text and "container_memory_rss{" in text:
                    break
            except OSError:
                pass
        else:
            sys.exit("no metrics within ten seconds")
    finally:
        agent.terminate()
        agent.wait()
assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0"), answer.headers
families = {family.name: family for family in text_string_to_metric_families(text)}
for name in ["container_memory_working_set_bytes", "container_oom_events", "machine_memory_bytes", "sampler_cpu_seconds"]:
    assert families[name].samples, name
ids = [sample.labels["id"] for sample in families["container_memory_usage_bytes"].samples]
assert len(ids) == len(set(ids)) > 0
print(f"prometheus_client reads {len(families)} families of {len(ids)} cgroups")
if shutil.which("promtool"):
    check = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
    # Advice about cAdvisor's names is not an error of the format.
    assert "error while linting" not in check.stderr and "parsing" not in check.stderr, check.stderr
    print("promtool reads it:", len(check.stderr.splitlines()), "remarks on names")
else:
    print("SKIPPED promtool: not installed (apt-get install prometheus)")
