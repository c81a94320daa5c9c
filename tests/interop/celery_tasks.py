"""Tasks of celery_client, and the application that both ends know."""

import os
import time

from celery import Celery
from kombu import Exchange, Queue

PREFIX = os.environ["CELERY_TEST_PREFIX"]

app = Celery("interop", broker=os.environ["AMQP_URL"], backend="rpc://")
app.conf.update(
    task_default_queue=PREFIX + "default",
    task_queues=[
        Queue(PREFIX + "default", Exchange(PREFIX + "default"), routing_key="default"),
        Queue(PREFIX + "topic", Exchange(PREFIX + "topic", type="topic"), routing_key="jobs.#"),
        Queue(PREFIX + "urgent", Exchange(PREFIX + "default"), routing_key="urgent", queue_arguments={"x-max-priority": 9}),
    ],
    task_default_exchange=PREFIX + "default",
    task_default_routing_key="default",
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    result_expires=60,
    broker_heartbeat=10,
)


@app.task
def add(a, b):
    return a + b


@app.task(bind=True, max_retries=3)
def third_time_lucky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    return self.request.retries


@app.task
def fails():
    raise ValueError("as it should")


@app.task(bind=True)
def slow(self, seconds, mark):
    """Leaves a line each time it is begun."""
    with open(mark, "a") as file:
        print(os.getpid(), int(bool(self.request.delivery_info.get("redelivered"))), file=file)
    time.sleep(seconds)
    return os.getpid()
