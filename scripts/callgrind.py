"""What a program does between the calls and the returns of one function, counted by valgrind's callgrind: the same in every run."""
import re
import subprocess
import sys

POLL = "talaria::worker::Worker::poll*"


def count(command, function, *options):
    """What the command printed, and how often each event ("Ir" is an instruction) happened in the function."""
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no",
         f"--toggle-collect={function}", *options, *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    names = re.search(r"Events +: (.*)", run.stderr)
    sums = re.search(r"Collected +: (.*)", run.stderr)
    if run.returncode != 0 or not names or not sums:
        sys.exit(f"{sys.argv[0]}: valgrind {' '.join(command)}: {run.stdout}{run.stderr}")
    return run.stdout, dict(zip(names[1].split(), map(int, sums[1].split())))


def count_delivery(command, few, many, *options):
    """Each event in Worker::poll for a delivery: of a command that takes a number of turns as its last argument and
    prints the number of deliveries. What runs of `few` and `many` turns have in common, the opening of connections, is left
    out."""
    (fewer, before), (more, after) = (count([*command, str(turns)], POLL, *options) for turns in (few, many))
    return {event: (after[event] - before[event]) / (int(more) - int(fewer)) for event in after}
