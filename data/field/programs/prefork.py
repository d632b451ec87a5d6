"""A server with three workers: the second leaks after a while. A worker that ends is replaced by one that does not."""
import os
import time

KEPT = 8 << 20


def worker(leaks):
    held = [b"x" * KEPT]
    if leaks:
        time.sleep(45)
        while True:
            held.append(b"x" * (1 << 20))
            time.sleep(0.2)
    while True:
        time.sleep(60)


def start(leaks):
    if os.fork() == 0:
        worker(leaks)


for number in range(3):
    start(number == 1)
while True:
    os.wait()
    start(False)
