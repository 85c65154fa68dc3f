"""moto on a clock that the caller moves: each request brings the time at which it is made. With `--real-time` on the machine's.

`x-km-now` is Unix milliseconds with a fraction. Requests are answered one after the other, so that none sees another's time,
nor moto's tables half changed. Prints the port once it listens, on 127.0.0.1 alone; ends with its standard input.
"""

import datetime
import os
import sys
import threading

import moto.core.utils

now = 1.0e12
real_time = "--real-time" in sys.argv


def steered() -> datetime.datetime:
    moment = datetime.datetime.fromtimestamp(now / 1000, datetime.timezone.utc)
    return moment.replace(tzinfo=None)


if not real_time:
    moto.core.utils.utcnow = steered

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_args: object) -> None:
        pass


backend = DomainDispatcherApplication(create_backend_app)
one_at_a_time = threading.Lock()


def application(environ, start_response):
    global now
    # A long poll waits inside of it, and nobody behind it.
    if real_time:
        return backend(environ, start_response)
    with one_at_a_time:
        given = environ.get("HTTP_X_KM_NOW")
        if given is not None:
            now = float(given)
        return list(backend(environ, start_response))


server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
os._exit(0)
