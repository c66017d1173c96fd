"""Runs LocalStack on 127.0.0.1 only. Requires LocalStack's Python environment.

LocalStack 4 ignores the host in `GATEWAY_LISTEN` and listens on every interface. Therefore this replaces Twisted's
endpoint class, whose default is every interface, before LocalStack starts.
"""

import runpy

from twisted.internet import endpoints


class LoopbackEndpoint(endpoints.TCP4ServerEndpoint):
    def __init__(self, reactor, port, backlog=50, interface="127.0.0.1"):
        super().__init__(reactor, port, backlog, interface)


endpoints.TCP4ServerEndpoint = LoopbackEndpoint
runpy.run_module("localstack.runtime.main", run_name="__main__")
