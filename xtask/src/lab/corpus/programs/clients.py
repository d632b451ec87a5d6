"""The clients of the servers: clients.py SPAN_S PLAN...; each PLAN is KIND:RATE_KIB_S:SEED:ADDRESS. Runs outside of the cgroups that are recorded.

One tick a second for all.
"""
import http.client
import math
import os
import random
import select
import socket
import subprocess
import sys
import time

span = float(sys.argv[1])


def redis_words(words):
    out = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(out)


class Redis:
    def __init__(self, kind, rate, dice, address):
        self.kind, self.rate, self.dice, self.n = kind, rate, dice, 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(address)
        self.socket.setblocking(False)

    def tick(self, part):
        many = max(1, int(self.rate / 2000))
        if self.kind == "redis-day":
            many = int(many * (1 - math.cos(2 * math.pi * part * 4.5)))
        out = []
        for _ in range(many):
            self.n += 1
            value = bytes((self.dice.randrange(65, 90),)) * self.dice.randrange(500, 3500)
            if self.kind == "redis-queue":
                out.append(redis_words(["RPUSH", "queue", value]))
            elif self.kind == "redis-lru":
                out.append(redis_words(["SET", f"key:{self.n}", value]))
            elif self.kind == "redis-ttl":
                out.append(redis_words(["SET", f"key:{self.n}", value, "EX", int(span * 0.15)]))
            elif self.kind == "redis-day":
                out.append(redis_words(["SET", f"key:{self.n}", value, "EX", max(1, int(span * 0.02))]))
            elif self.kind == "redis-stream":
                out.append(redis_words(["XADD", "events", "*", "body", value]))
            elif self.kind == "redis-keys":
                out.append(redis_words(["HSET", f"user:{self.n}", "seen", value[:200], "cart", value[200:]]))
            elif self.kind == "redis-hash":
                out.append(redis_words(["HSET", "all", self.dice.randrange(12000), value]))
            else:
                out.append(redis_words(["SET", f"key:{self.dice.randrange(400)}", value]))
        self.socket.setblocking(True)
        self.socket.settimeout(5)
        self.socket.sendall(b"".join(out))
        self.socket.setblocking(False)
        while select.select([self.socket], [], [], 0.01)[0]:
            if not self.socket.recv(1 << 16):
                raise OSError("closed")


class Postgres:
    def __init__(self, kind, rate, dice, address):
        self.kind, self.rate, self.dice, self.n, self.made = kind, rate, dice, 0, False
        self.open = []
        self.words = words = ["psql", "-q", "-h", address, "-U", "postgres", "-d", "postgres", "-o", "/dev/null", "-X"]
        self.psql = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def say(self, text):
        self.psql.stdin.write((text + "\n").encode())
        self.psql.stdin.flush()

    def tick(self, part):
        if self.kind in ("pg-connections", "pg-day"):
            return self.connect(part)
        if not self.made:
            self.made = True
            self.say("create table if not exists t (id int primary key, body text);")
            rows = 60000 if self.kind == "pg-buffers" else 2000
            self.say(f"insert into t select i, repeat('x', 900) from generate_series(1, {rows}) i on conflict do nothing;")
        if self.kind == "pg-prepared":
            # A driver that names each statement anew and never forgets one.
            for _ in range(max(1, int(self.rate / 24000))):
                self.n += 1
                self.say(f"prepare s{self.n} as select id, body, length(body) from t where id = $1 and length(body) > {self.n};")
                self.say(f"execute s{self.n}({self.dice.randrange(1, 2000)});")
        elif self.kind == "pg-buffers":
            # Reads pages that were never read before, at random, until all of the table is in the shared buffers.
            for _ in range(12):
                at = self.dice.randrange(1, 60000)
                self.say(f"select sum(length(body)) from t where id between {at} and {at + 30};")
        elif self.kind == "pg-sort":
            if self.dice.random() < 0.1:
                self.say("set work_mem = '24MB'; select count(*) from (select * from t order by md5(body || id)) s;")
        else:
            for _ in range(3):
                self.say(f"select length(body) from t where id = {self.dice.randrange(1, 2000)};")


    def connect(self, part):
        """Connections that read a little and stay; never given back, or as many as the day asks for."""
        self.n += 1
        want = self.n / 18 if self.kind == "pg-connections" else 14 * (1 - math.cos(2 * math.pi * part * 3.7))
        while len(self.open) < int(want):
            one = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            one.stdin.write(b"set work_mem = '4MB'; select sum(length(body)) from t where id < 3000;\n")
            one.stdin.flush()
            self.open.append(one)
        while len(self.open) > int(want):
            one = self.open.pop(0)
            one.stdin.close()
            one.wait(timeout=5)


class Memcached:
    def __init__(self, kind, rate, dice, address):
        self.rate, self.dice, self.n = rate, dice, 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(address)

    def tick(self, _part):
        out = []
        for _ in range(max(1, int(self.rate / 2000))):
            self.n += 1
            size = self.dice.randrange(500, 3500)
            out.append(b"set key:%d 0 0 %d noreply\r\n%s\r\n" % (self.n, size, b"m" * size))
        self.socket.settimeout(5)
        self.socket.sendall(b"".join(out))


class Http:
    def __init__(self, kind, rate, dice, address):
        self.kind, self.rate, self.dice, self.n, self.port = kind, rate, dice, 0, int(address)

    def tick(self, _part):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        for _ in range(3):
            self.n += 1
            path = f"/files/{self.n % 800}" if self.kind == "nginx-files" else "/"
            connection.request("GET", path)
            connection.getresponse().read()
        connection.close()


clients = []
for plan in sys.argv[2:]:
    kind, rate, seed, address = plan.split(":", 3)
    make = {"redis": Redis, "pg": Postgres, "memcached": Memcached}.get(kind.split("-")[0], Http)
    clients.append([make, kind, float(rate) * 1024, random.Random(int(seed)), address, None])

begun = time.monotonic()
tick = 0
while True:
    for client in clients:
        make, kind, rate, dice, address, open_ = client
        try:
            if open_ is None:
                client[5] = make(kind, rate, dice, address)
            else:
                open_.tick((time.monotonic() - begun) / span)
        except (OSError, http.client.HTTPException) as error:
            # A server that was killed, or is not up yet.
            print(f"{kind} {address}: {error}", file=sys.stderr)
            client[5] = None
    tick += 1
    time.sleep(max(0.0, begun + tick - time.monotonic()))
