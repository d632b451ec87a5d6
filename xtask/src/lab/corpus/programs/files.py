"""Writes FOLDER/0 … FOLDER/N-1 (or FOLDER/big for one) of SIZE_KIB each and forgets them, so that who reads them is charged.

files.py FOLDER N SIZE_KIB
"""
import os
import random
import sys

folder, many, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) * 1024
body = random.Random(1).randbytes(1 << 16)
for i in range(many):
    with open(f"{folder}/{'big' if many == 1 else i}", "wb") as file:
        for at in range(0, size, len(body)):
            file.write(body[: size - at])
        file.flush()
        os.fdatasync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
