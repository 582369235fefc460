"""Consumes a topic as a member of a group until its input ends, and then leaves. It
writes its partitions to its output whenever they change, one line each time.

usage: member.py TOPIC NAME=VALUE..., the consumer's configuration
"""

import sys
import threading

from confluent_kafka import Consumer

ended = threading.Event()


def wait():
    sys.stdin.read()
    ended.set()


threading.Thread(target=wait, daemon=True).start()
consumer = Consumer(dict(arg.split("=", 1) for arg in sys.argv[2:]))
consumer.subscribe([sys.argv[1]])
before = None
while not ended.is_set():
    consumer.poll(0.1)
    now = ",".join(sorted(str(p.partition) for p in consumer.assignment()))
    if now != before:
        print(now, flush=True)
        before = now
consumer.close()
