"""The clients of the servers: clients.py SPAN_S PLAN...; each PLAN is KIND:RATE_KIB_S:SEED:ADDRESS. Runs outside of the cgroups that are recorded.

One tick a second for all.
"""
import http.client
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

    def tick(self, _part):
        many = max(1, int(self.rate / 2000))
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
        words = ["psql", "-q", "-h", address, "-U", "postgres", "-d", "postgres", "-o", "/dev/null", "-X"]
        self.psql = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def say(self, text):
        self.psql.stdin.write((text + "\n").encode())
        self.psql.stdin.flush()

    def tick(self, _part):
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
        else:
            for _ in range(3):
                self.say(f"select length(body) from t where id = {self.dice.randrange(1, 2000)};")


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
    make = Redis if kind.startswith("redis") else Postgres if kind.startswith("pg") else Http
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
