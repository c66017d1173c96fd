"""Runs LocalStack in its own environment, bound to 127.0.0.1.

LocalStack 4 uses only the port of `GATEWAY_LISTEN` and listens on every interface, because it gives its endpoint no
address. This module sets one before LocalStack starts.
"""

import runpy

from twisted.internet import endpoints


class LoopbackEndpoint(endpoints.TCP4ServerEndpoint):
    def __init__(self, reactor, port, backlog=50, interface="127.0.0.1"):
        super().__init__(reactor, port, backlog, interface)


endpoints.TCP4ServerEndpoint = LoopbackEndpoint
runpy.run_module("localstack.runtime.main", run_name="__main__")
