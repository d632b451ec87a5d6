"""A program that holds memory in a known way: held.py MODE RATE_KIB_S SPAN_S SEED [FOLDER]

One tick a second. RATE is what a leak loses a second; SPAN the length of the whole recording, which onsets and periods are
parts of. Everything is touched when it is allocated.
"""
import gc
import hashlib
import math
import os
import random
import subprocess
import sys
import threading
import time

mode, rate, span, seed = sys.argv[1], float(sys.argv[2]) * 1024, float(sys.argv[3]), int(sys.argv[4])
folder = sys.argv[5] if len(sys.argv) > 5 else "/tmp"
dice = random.Random(seed)
MIB = 1 << 20


def block(size):
    """Memory that is touched."""
    return bytes((dice.randrange(1, 255),)) * max(1, int(size))


def serve(requests):
    """Work that leaves nothing behind."""
    for _ in range(requests):
        scratch = [block(dice.randrange(200, 20_000)) for _ in range(8)]
        hashlib.sha256(b"".join(scratch)).digest()


class Debt:
    """Loses `rate` bytes a second in pieces of random size."""

    def __init__(self):
        self.kept, self.owed = [], 0.0

    def lose(self, amount, low=2_000, high=60_000):
        self.owed += amount
        while self.owed > 0:
            size = dice.randrange(low, high)
            self.kept.append(block(size))
            self.owed -= size


begun = time.monotonic()
base = [block(60_000) for _ in range(dice.randrange(150, 400))]
debt, sessions, cache, t = Debt(), [], {}, 0
garbage, full = [], (10 + 25 * dice.random()) * MIB
period = span / dice.uniform(3.5, 6.5)
job_until, job_next, job = 0.0, span * dice.uniform(0.01, 0.05), None

while True:
    now = time.monotonic() - begun
    part = now / span
    if mode == "steady":
        serve(4)
    elif mode == "leak":
        serve(3)
        debt.lose(rate)
    elif mode == "leak-late":
        serve(3)
        debt.lose(rate if part > 0.35 else 0)
    elif mode == "leak-gc":
        # Garbage in cycles that only a collection finds, and a list that only grows.
        gc.disable()
        for _ in range(6):
            ring = [block(dice.randrange(100_000, 250_000))]
            ring.append(ring)
            garbage.append(len(ring[0]))
        if sum(garbage) > full:
            garbage = []
            gc.collect()
        debt.lose(rate)
    elif mode == "gc":
        gc.disable()
        for _ in range(6):
            ring = [block(dice.randrange(150_000, 300_000))]
            ring.append(ring)
            garbage.append(len(ring[0]))
        if sum(garbage) > full:
            garbage = []
            gc.collect()
    elif mode in ("leak-load", "load", "load-ramp"):
        shape = part if mode == "load-ramp" else 0.5 - 0.5 * math.cos(2 * math.pi * now / period)
        requests = int(2 + 14 * min(shape, 1))
        serve(requests)
        want = requests * 3
        while len(sessions) < want:
            sessions.append(block(dice.randrange(900_000, 1_100_000)))
        del sessions[: max(0, len(sessions) - want)]
        if mode == "leak-load":
            debt.lose(rate * requests / 9)
    elif mode == "lru":
        # A cache with room for a fixed number of entries; keys hardly ever come again.
        for _ in range(max(1, int(rate / 40_000))):
            cache[(t, dice.random())] = block(dice.randrange(20_000, 60_000))
        room = int(rate / 40_000 * span * 0.4)
        while len(cache) > room:
            del cache[next(iter(cache))]
        serve(1)
    elif mode == "memo":
        # All that was ever asked for is kept; what is asked for is from a long tail of a finite set.
        for _ in range(12):
            key = int(3000 * dice.random() ** 3)
            if key not in cache:
                cache[key] = block(20_000)
    elif mode == "batch":
        if job is None and now >= job_next:
            job = [block(MIB) for _ in range(dice.randrange(15, 40))]
            job_until = now + span * dice.uniform(0.01, 0.03)
        if job is not None and now >= job_until:
            job, job_next = None, now + span * dice.uniform(0.02, 0.06)
        serve(2)
    elif mode == "step":
        if part > 0.4 and not sessions:
            sessions = [block(MIB) for _ in range(30)]
        serve(3)
    elif mode == "tmpfs":
        debt.owed += rate
        while debt.owed > 0:
            size = dice.randrange(30_000, 200_000)
            with open(f"{folder}/{t}-{dice.random()}", "wb") as file:
                file.write(block(size))
            debt.owed -= size
    elif mode == "tmpfs-rotate":
        with open(f"{folder}/{t}", "wb") as file:
            file.write(block(rate))
        old = t - int(span * 0.05)
        if old >= 0:
            os.unlink(f"{folder}/{old}")
    elif mode == "log-files":
        with open(f"{folder}/log-{t // 60}", "ab") as file:
            file.write(block(rate))
        serve(2)
    elif mode == "threads":
        # Threads that never end; each touches some of its stack and of its own heap.
        if t % 2 == 0:
            wait = threading.Event()
            sessions.append(wait)

            def work(wait=wait):
                mine = block(40_000)
                wait.wait()
                return mine

            threading.stack_size(256 * 1024)
            threading.Thread(target=work, daemon=True).start()
    elif mode == "zombies":
        pid = os.fork()
        if pid == 0:
            os._exit(0)
    elif mode == "forks":
        subprocess.run(["/bin/sh", "-c", "exit 0"], check=False)
        serve(1)
    t += 1
    time.sleep(max(0.0, begun + t - time.monotonic()))
