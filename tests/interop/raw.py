"""AMQP 0-9-1 frame by frame, for what no client library would send: pika's codec, and a socket."""

import socket
import struct
import time

import pika
from pika import frame as frames
from pika import spec
from tap import HOST, PORT, URL

HEADER = b"AMQP\0\0\x09\x01"
CAPABLE = {"capabilities": {"authentication_failure_close": True, "consumer_cancel_notify": True, "connection.blocked": True}}


def raw_frame(kind, channel, payload, end=b"\xce"):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


def method(channel, what):
    return frames.Method(channel, what).marshal()


def short(text):
    text = text.encode() if isinstance(text, str) else text
    return bytes([len(text)]) + text


def table(*entries):
    """A field table of (name, letter, octets)."""
    octets = b"".join(short(name) + letter.encode() + value for name, letter, value in entries)
    return struct.pack(">I", len(octets)) + octets


def content(channel, body, flags_and_list=b"\0\0", class_id=60, size=None):
    """A content header, and the body in one frame if there is one."""
    header = struct.pack(">HHQ", class_id, 0, len(body) if size is None else size) + flags_and_list
    return raw_frame(2, channel, header) + (raw_frame(3, channel, body) if body else b"")


def publish(channel, exchange, key, body, mandatory=False, flags_and_list=b"\0\0"):
    return method(channel, spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory)) + content(channel, body, flags_and_list)


class Raw:
    """A connection. `open`: the handshake is done, and channel 1 is open."""

    def __init__(self, open=True, frame_max=131072, channel_max=2047, user="guest", password="guest", properties=CAPABLE, vhost="/"):
        self.socket = socket.create_connection((HOST, PORT), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.user, self.password, self.properties, self.vhost = user, password, properties, vhost
        if open:
            self.start()
            self.expect(spec.Connection.Tune)
            self.send(method(0, spec.Connection.TuneOk(channel_max, frame_max, 0)) + method(0, spec.Connection.Open(self.vhost)))
            self.expect(spec.Connection.OpenOk)
            self.open_channel(1)

    def start(self):
        self.send(HEADER)
        self.expect(spec.Connection.Start)
        self.send(method(0, spec.Connection.StartOk(self.properties, "PLAIN", f"\0{self.user}\0{self.password}", "en_US")))

    def open_channel(self, number):
        self.call(number, spec.Channel.Open(), spec.Channel.OpenOk)

    def send(self, octets):
        self.socket.sendall(octets)

    def receive(self, seconds):
        """More octets into the buffer. False: the end; None: nothing came in time."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            octets = self.socket.recv(1 << 20)
        except socket.timeout:
            return None
        except ConnectionError:
            return False
        self.buffer += octets
        return bool(octets)

    def next(self, seconds=5):
        """The next frame as (kind, channel, payload). None: nothing came; "end": the connection has ended."""
        deadline = time.monotonic() + seconds
        while True:
            if len(self.buffer) >= 7:
                kind, channel, size = struct.unpack(">BHI", self.buffer[:7])
                if len(self.buffer) >= size + 8:
                    payload, end = self.buffer[7:7 + size], self.buffer[7 + size]
                    self.buffer = self.buffer[8 + size:]
                    assert end == 0xCE
                    return kind, channel, payload
            got = self.receive(deadline - time.monotonic())
            if got is False:
                return "end"
            if got is None and time.monotonic() >= deadline:
                return None

    def next_method(self, seconds=5):
        """The next method as pika has it; None or "end" as above."""
        got = self.next(seconds)
        if got in (None, "end"):
            return got
        kind, channel, payload = got
        if kind != 1:
            return got
        what = spec.methods[struct.unpack(">I", payload[:4])[0]]()
        what.decode(payload[4:])
        what.channel = channel
        return what

    def expect(self, kind, seconds=5):
        got = self.next_method(seconds)
        assert isinstance(got, kind), f"{got!r} instead of {kind.__name__}"
        return got

    def call(self, channel, what, answer):
        self.send(method(channel, what))
        return self.expect(answer)

    def content(self):
        """Header and body of the message whose method was read last: (payload of the header frame, body, body frames' sizes)."""
        kind, _, header = self.next()
        assert kind == 2
        size, = struct.unpack(">Q", header[4:12])
        body, sizes = b"", []
        while len(body) < size:
            kind, _, piece = self.next()
            assert kind == 3
            body += piece
            sizes.append(len(piece))
        return header, body, sizes

    def get(self, queue, no_ack=True, channel=1):
        """(get-ok, header payload, body, sizes), or None."""
        self.send(method(channel, spec.Basic.Get(queue=queue, no_ack=no_ack)))
        got = self.next_method()
        if isinstance(got, spec.Basic.GetEmpty):
            return None
        assert isinstance(got, spec.Basic.GetOk), got
        return (got, *self.content())

    def code(self, seconds=5):
        """("channel" or "connection", reply code) of the close that comes next; else what came."""
        got = self.next_method(seconds)
        if isinstance(got, spec.Channel.Close):
            self.send(method(got.channel, spec.Channel.CloseOk()))
            return "channel", got.reply_code
        if isinstance(got, spec.Connection.Close):
            self.send(method(0, spec.Connection.CloseOk()))
            return "connection", got.reply_code
        return got

    def ends_silently(self, seconds=6):
        """The time until the connection ends, if not an octet comes before that; else None."""
        begin = time.monotonic()
        while time.monotonic() < begin + seconds:
            got = self.receive(begin + seconds - time.monotonic())
            if got is False:
                return None if self.buffer else time.monotonic() - begin
            if got:
                return None
        return None

    def depth(self, queue):
        return self.call(1, spec.Queue.Declare(queue=queue, passive=True), spec.Queue.DeclareOk).message_count

    def close(self):
        self.call(0, spec.Connection.Close(200, "", 0, 0), spec.Connection.CloseOk)
        self.socket.close()


def answer_to(octets, seconds=5, **options):
    """The close that octets on a new connection with an open channel 1 cause."""
    connection = Raw(**options)
    connection.send(octets)
    got = connection.code(seconds)
    connection.socket.close()
    return got


# ---- pika's own way --------------------------------------------------------------------------------------------------
CLOSED = (pika.exceptions.ChannelClosedByBroker, pika.exceptions.ConnectionClosedByBroker)


def pika_connection():
    return pika.BlockingConnection(pika.URLParameters(URL))


def code_of(action):
    """The code with which pika's new channel is closed when `action` is done with it; None: it is not."""
    connection = pika_connection()
    try:
        action(connection.channel())
        return None
    except CLOSED as closed:
        return closed.reply_code
    finally:
        if connection.is_open:
            connection.close()


def declare(queue, entries=b"\0\0\0\0", bits=0):
    """queue.declare with a table of arguments as octets."""
    return raw_frame(1, 1, struct.pack(">HHH", 50, 10, 0) + short(queue) + bytes([bits]) + entries)


def drain(channel, queue):
    bodies = []
    while True:
        got, _, body = channel.basic_get(queue, auto_ack=True)
        if got is None:
            return bodies
        bodies.append(body)


def wait_for(holds, seconds=5):
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
