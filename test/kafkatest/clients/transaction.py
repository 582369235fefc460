"""Writes a record to each of some partitions in a transaction, tells it with a line on
its output, and commits when its input ends.

usage: transaction.py TOPIC PARTITION,... NAME=VALUE..., the producer's configuration
"""

import sys

from confluent_kafka import Producer

producer = Producer(dict(arg.split("=", 1) for arg in sys.argv[3:]))
producer.init_transactions(30)
producer.begin_transaction()
for partition in sys.argv[2].split(","):
    producer.produce(sys.argv[1], b"in a transaction", partition=int(partition))
producer.flush(30)
print("open", flush=True)
sys.stdin.read()
producer.commit_transaction(30)
