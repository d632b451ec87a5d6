"""A service that holds memory in a known way: service.py MODE RATE_KIB_S SPAN_S SEED [FOLDER], as held.py.

Work comes in requests whose number is random around a mean that may follow the day; what is kept is kept by the means that real
services keep things with.
"""
import asyncio
import gc
import logging
import logging.handlers
import math
import mmap
import os
import pickle
import random
import sqlite3
import subprocess
import sys
import time
import zlib
from multiprocessing import shared_memory

mode, rate, span, seed = sys.argv[1], float(sys.argv[2]) * 1024, float(sys.argv[3]), int(sys.argv[4])
folder = sys.argv[5] if len(sys.argv) > 5 else "/tmp"
dice = random.Random(seed)
MIB = 1 << 20


def block(size):
    """Memory that is touched."""
    return bytes((dice.randrange(1, 255),)) * max(1, int(size))


def poisson(mean):
    limit, n, p = math.exp(-mean), 0, dice.random()
    while p > limit:
        n, p = n + 1, p * dice.random()
    return n


def request():
    """A request parsed, answered and forgotten."""
    body = {f"field-{i}": dice.random() for i in range(dice.randrange(20, 200))}
    return zlib.compress(pickle.dumps(body))


base = [block(dice.randrange(20_000, 90_000)) for _ in range(dice.randrange(100, 500))]
period = span / dice.uniform(3.0, 7.0)
kept, owed, store, begun, t = [], 0.0, {}, time.monotonic(), 0
walk, level, due = [], 24.0, span * dice.uniform(0.01, 0.03)
arena = []


def lose(amount, low=1_000, high=30_000):
    """Keeps this much, in pieces of random size."""
    global owed
    owed += amount
    while owed > 0:
        size = dice.randrange(low, high)
        kept.append(block(size))
        owed -= size


def keep_level(pieces, want):
    while len(pieces) < want:
        pieces.append(block(dice.randrange(200_000, 320_000)))
    del pieces[: max(0, len(pieces) - int(want))]


def tick(now):
    global owed, level, due, walk
    part = now / span
    mean = 5.0
    for _ in range(poisson(mean)):
        request()
    if mode == "sessions":
        # One session in five is never closed.
        for _ in range(poisson(rate / 8000)):
            store[dice.random()] = (block(dice.randrange(20_000, 60_000)), now + dice.uniform(5, 60) if dice.random() > 0.2 else math.inf)
        for key in [key for key, (_, until) in store.items() if until < now]:
            del store[key]
    elif mode == "tracebacks":
        for _ in range(poisson(rate / 6000)):
            try:
                local = block(5_500)
                raise ValueError(len(local))
            except ValueError as error:
                kept.append(error)
    elif mode == "job-leak":
        # A job now and then keeps a part of what it loads.
        if now >= due:
            due = now + span * dice.uniform(0.02, 0.06)
            load = [block(MIB) for _ in range(dice.randrange(6, 20))]
            lose(rate * span * 0.04)
            time.sleep(1.5)
            del load
    elif mode == "faster":
        lose(rate * 2 * part)
    elif mode == "children":
        if t % max(1, int(rate / 1024)) == 0:
            kept.append(subprocess.Popen(["sleep", "86400"]))
    elif mode == "segments":
        owed += rate
        while owed > 0:
            size = dice.randrange(40_000, 120_000)
            piece = shared_memory.SharedMemory(create=True, size=size)
            piece.buf[:] = block(size)
            # Its name goes at once, so that nothing is left behind; its memory stays.
            piece.unlink()
            kept.append(piece)
            owed -= size
    elif mode == "sqlite-memory":
        if not store:
            store["db"] = sqlite3.connect(":memory:")
            store["db"].execute("create table events (id integer primary key, body blob)")
        owed += rate
        while owed > 0:
            size = dice.randrange(500, 4_000)
            store["db"].execute("insert into events (body) values (?)", (block(size),))
            owed -= size + 30
    elif mode == "day-leak":
        want = 3 + 3 * math.sin(2 * math.pi * now / period) + poisson(2)
        keep_level(store.setdefault("open", []), want * 4)
        lose(rate)
    elif mode == "backlog":
        # From the middle on the producer is faster than the consumer.
        lose(rate if part > 0.45 else 0)
        if part <= 0.45 and kept:
            kept.clear()
    elif mode == "handlers":
        # A handler more at each reload, each with a buffer; reloads come at random.
        if dice.random() < 0.15:
            handler = logging.handlers.MemoryHandler(1 << 30)
            handler.own = block(rate / 0.15)
            logging.getLogger("held").addHandler(handler)
    elif mode == "ttl":
        for _ in range(poisson(rate / 20_000)):
            store[(t, dice.random())] = (block(dice.randrange(10_000, 30_000)), now + span * 0.12)
        for key in list(store):
            if store[key][1] > now:
                break
            del store[key]
    elif mode == "etl":
        # Batches of very different sizes, one after the other, with pauses.
        if walk and now >= due:
            walk, due = [], now + span * dice.uniform(0.004, 0.03)
        elif not walk and now >= due:
            walk = [block(MIB) for _ in range(int(2 ** dice.uniform(2, 5.5)))]
            due = now + span * dice.uniform(0.004, 0.02)
    elif mode == "fragments":
        for _ in range(60):
            if len(arena) > 900:
                arena.pop(dice.randrange(len(arena)))
            arena.append(block(2 ** dice.uniform(8, 16.5)))
    elif mode == "workers":
        # A worker that leaks and is replaced after so many requests.
        worker = store.get("worker")
        if worker is None or worker.poll() is not None:
            code = f"import time\nk=[]\nfor i in range({int(span * 0.09)}):\n k.append(bytearray(b'x')*{int(rate)}); time.sleep(1)"
            store["worker"] = subprocess.Popen([sys.executable, "-c", code])
    elif mode == "modules":
        for at in (0.12, 0.3, 0.5):
            if part > at and at not in store:
                store[at] = [block(400_000) for _ in range(dice.randrange(8, 30))]
    elif mode == "tide":
        keep_level(store.setdefault("open", []), 4 + 90 * math.sin(math.pi * min(1.0, now / (0.9 * span))) ** 2)
        for _ in range(int(20 * math.sin(math.pi * min(1.0, now / (0.9 * span))) ** 2)):
            request()
    elif mode == "flurry":
        # Flurries of requests, each with sessions that last a while.
        if now >= due:
            due = now + dice.expovariate(1 / (span * 0.03))
            for _ in range(dice.randrange(10, 60)):
                walk.append((now + dice.expovariate(1 / (span * 0.015)), block(dice.randrange(200_000, 400_000))))
                request()
        walk = [one for one in walk if one[0] > now]
    elif mode == "wander":
        # The number of open sessions is a random walk between walls.
        level += dice.gauss(0, 0.8)
        level = 8 + abs(level - 8)
        level = 60 - abs(60 - level)
        keep_level(store.setdefault("open", []), level * 4)
    elif mode == "database-file":
        if not store:
            store["db"] = sqlite3.connect(f"{folder}/big.db", isolation_level=None)
            store["db"].execute("pragma synchronous=off")
            store["db"].execute("create table if not exists t (id integer primary key, body blob)")
        store["db"].execute("begin")
        for _ in range(max(1, int(rate / 4000))):
            store["db"].execute("insert into t (body) values (?)", (block(dice.randrange(1_000, 7_000)),))
        store["db"].execute("commit")
    elif mode == "map-file":
        if not store:
            file = open(f"{folder}/big", "rb")
            store["map"] = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            store["map"].madvise(mmap.MADV_RANDOM)
        pages = len(store["map"]) // 4096
        for _ in range(max(1, int(rate / 4096))):
            at = int(pages * dice.random() ** 1.5)
            kept[:] = [store["map"][at * 4096]]
    elif mode == "pool":
        # A pool that never shrinks, as large as the highest demand so far.
        demand = poisson(12)
        while len(arena) < demand:
            arena.append(block(1_500_000))
    elif mode == "quiet":
        pass


async def tasks():
    """Tasks that wait for what never comes."""
    global owed, t
    while True:
        owed += rate
        while owed > 0:
            size = dice.randrange(2_000, 20_000)

            async def wait(held=block(size)):
                await asyncio.Event().wait()
                return held

            kept.append(asyncio.create_task(wait()))
            owed -= size + 1_500
        for _ in range(poisson(4)):
            request()
        t += 1
        await asyncio.sleep(max(0.0, begun + t - time.monotonic()))


if mode == "tasks":
    asyncio.run(tasks())
while True:
    tick(time.monotonic() - begun)
    t += 1
    time.sleep(max(0.0, begun + t - time.monotonic()))
