#!/usr/bin/python3
"""The Python part of `make demo`: pika publishes with confirms, then consumes and acknowledges; prints one row."""

import os
import struct
import sys
import time

import pika

seconds, size, title = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
publisher, consumer = connection.channel(), connection.channel()
queue = publisher.queue_declare("", exclusive=True).method.queue
publisher.confirm_delivery()
latencies = []


def on_delivery(channel, method, _, body):
    latencies.append(time.monotonic_ns() - struct.unpack_from("!Q", body)[0])
    channel.basic_ack(method.delivery_tag)


consumer.basic_qos(prefetch_count=100)
consumer.basic_consume(queue, on_delivery)
start = time.monotonic()
published = 0
while time.monotonic() < start + seconds:
    publisher.basic_publish("", queue, struct.pack("!Q", time.monotonic_ns()).ljust(size, b"."))
    published += 1
    connection.process_data_events(0)
while len(latencies) < published and time.monotonic() < start + seconds + 10:
    connection.process_data_events(0.01)
took = time.monotonic() - start
connection.close()
latencies = sorted(latency // 1000 for latency in latencies) or [0]
print(title, len(latencies), round(published / took), round(len(latencies) / took), latencies[len(latencies) // 2],
      latencies[len(latencies) * 99 // 100], latencies[-1], sep="|")
sys.exit(len(latencies) != published)
