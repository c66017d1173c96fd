"""Runs LocalStack inside its own environment, bound to 127.0.0.1.

LocalStack 4 takes only the port from `GATEWAY_LISTEN` and opens it on every interface: it gives its endpoint no
address. This gives it one before LocalStack starts.
"""

import runpy

from twisted.internet import endpoints


class LoopbackEndpoint(endpoints.TCP4ServerEndpoint):
    def __init__(self, reactor, port, backlog=50, interface="127.0.0.1"):
        super().__init__(reactor, port, backlog, interface)


endpoints.TCP4ServerEndpoint = LoopbackEndpoint
runpy.run_module("localstack.runtime.main", run_name="__main__")
