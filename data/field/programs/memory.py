"""Does with memory what its arguments name, one after the other: hold MIB, rest SECONDS, leak MIB_A_SECOND (for ever)."""
import sys
import time

held = []


def hold(mib):
    # Written, so that it is resident.
    held.append(b"x" * int(mib * (1 << 20)))


def leak(rate):
    while True:
        hold(rate / 4)
        time.sleep(0.25)


verbs = {"hold": hold, "rest": time.sleep, "leak": leak}
words = sys.argv[1:]
for verb, number in zip(words[::2], words[1::2]):
    verbs[verb](float(number))
