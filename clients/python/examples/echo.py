#!/usr/bin/env python3
"""An echo server, as programs for pyev are written.

usage: echo.py [PORT]

Listens on PORT of this machine (by default one that is free), says which, and sends
back what it gets. A client that is silent for 30 seconds is closed. Ctrl-C or
SIGTERM ends it.
"""

import signal
import socket
import sys

import pyev

IDLE_S = 30.0


class Client:
    """A connection: what came and was not sent back yet, and its watchers."""

    def __init__(self, server, sock, name):
        self.server = server
        self.sock = sock
        self.name = name
        self.unsent = b""
        self.io = server.loop.io(sock, pyev.EV_READ, self.ready)
        self.idle = server.loop.timer(0.0, IDLE_S, self.too_quiet)
        self.io.start()
        self.idle.reset()

    def ready(self, io, revents):
        """The socket can be read or written."""
        try:
            if revents & pyev.EV_READ:
                self.read()
            elif revents & pyev.EV_WRITE:
                self.write()
        except BlockingIOError:
            pass
        except ConnectionError:
            self.close("lost")

    def read(self):
        data = self.sock.recv(4096)
        if not data:
            self.close("gone")
            return
        self.idle.reset()
        self.unsent += data
        self.write()

    def write(self):
        sent = self.sock.send(self.unsent)
        self.unsent = self.unsent[sent:]
        # What it does not take now has to go before more is read.
        self.wait_for(pyev.EV_WRITE if self.unsent else pyev.EV_READ)

    def wait_for(self, events):
        if self.io.events != events:
            self.io.stop()
            self.io.set(self.sock, events)
            self.io.start()

    def too_quiet(self, timer, revents):
        self.close("too quiet")

    def close(self, why):
        """Stop its watchers, and only then close what they watch."""
        self.idle.stop()
        self.io.stop()
        self.sock.close()
        self.server.clients.discard(self)
        print("%s: %s" % (why, self.name), flush=True)


class Server:
    """Accepts clients, and holds them."""

    def __init__(self, port):
        self.loop = pyev.default_loop()
        self.sock = socket.create_server(("127.0.0.1", port))
        self.sock.setblocking(False)
        self.clients = set()
        self.io = self.loop.io(self.sock, pyev.EV_READ, self.connecting)
        self.signals = [
            self.loop.signal(signum, self.told_to_end)
            for signum in (signal.SIGINT, signal.SIGTERM)
        ]

    def connecting(self, io, revents):
        try:
            sock, address = self.sock.accept()
        except BlockingIOError:
            return  # it has gone again
        sock.setblocking(False)
        self.clients.add(Client(self, sock, "%s:%d" % address))

    def told_to_end(self, watcher, revents):
        self.loop.stop(pyev.EVBREAK_ALL)

    def run(self):
        for watcher in (self.io, *self.signals):
            watcher.start()
        print("listening on port %d" % self.sock.getsockname()[1], flush=True)
        self.loop.start()
        for client in list(self.clients):
            client.close("closed")
        self.sock.close()


if __name__ == "__main__":
    try:
        Server(int(sys.argv[1]) if sys.argv[1:] else 0).run()
    except pyev.Error as error:
        sys.exit("echo: %s" % error)
