"""What the Python clients share: checks printed as TAP, one line each, and where the broker is."""

import os
import sys
import traceback

HOST = os.environ["TALARIA_HOST"]
PORT = int(os.environ["TALARIA_PORT"])
URL = os.environ["AMQP_URL"]
# Names of this run, so that one broker can take the same program twice.
PREFIX = f"interop-{os.getpid()}-"


class Checks:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def ok(self, holds, what, detail=""):
        self.count += 1
        print(f"{'ok' if holds else 'not ok'} {self.count} - {what}", flush=True)
        if not holds:
            self.failed += 1
            if detail:
                print("".join(f"# {line}\n" for line in str(detail).splitlines()), end="", flush=True)

    def equal(self, got, expected, what):
        self.ok(got == expected, what, f"got {got!r}, expected {expected!r}")

    def run(self, *parts):
        """Runs each part; an exception fails that part and does not keep the next from running."""
        for part in parts:
            try:
                part(self)
            except Exception:
                self.ok(False, f"{part.__name__} runs to its end", traceback.format_exc())
        print(f"1..{self.count}")
        sys.exit(1 if self.failed or not self.count else 0)
