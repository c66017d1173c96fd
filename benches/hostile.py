#!/usr/bin/env python3
"""Measures how hostile clients affect a well-behaved client, compared with FastAPI and Pillow behind nginx.

For each pattern, phases with an idle server alternate with phases under the pattern, so that other load on the machine affects both
equally. The well-behaved client is a process with a separate address and a connection for each request. It sends at a fixed rate,
even if earlier requests have no response yet. Latency is measured from the scheduled time of a request. A failed request counts as
TIMEOUT seconds, so that rejections do not improve the result. The hostile clients run at a lower priority, because real clients use
other machines. Linux only: memory and CPU time are read from /proc, and the addresses are in 127.0.0.0/8.
"""

import argparse
import asyncio
import itertools
import json
import math
import multiprocessing
import os
import random
import resource
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import zlib
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

HOST, GOOD_ADDRESS = "127.0.0.1", "127.0.0.2"
TIMEOUT, WARM_UP_SECONDS, REQUESTS_PER_SECOND = 20, 2, 10
# The value of Ethernet. With the 64 KB of loopback, the kernel allocates a send buffer of several MB for each new connection.
SEGMENT_BYTES = 1460
PEERS = Path(__file__).parent / "peers"
FIGURES = ["idle p50, p95 (ms)", "hostile p50, p95 (ms)", "p95 ratio", "worst p95 ratio by request", "failed: idle, hostile"]
FIGURES += ["peak memory (MiB): idle, hostile", "CPU: idle, hostile (cores)", "hostile clients"]


def main():
    options = parse_arguments()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hostile-")))
        # Side in pixels, and random bytes in each line. `file` has nearly 10 MB.
        sizes = {"tiny": (60, 180), "small": (320, 320), "large": (2000, 600), "file": (1800, 5400)}
        images = {name: png(side, noise) for name, (side, noise) in sizes.items()}
        servers = [start_service(stack, folder / "service", options, images)]
        if options.peer_python:
            servers.append(start_peer(stack, folder / "peer", options, images))
        print(f"{options.rounds} × {options.seconds:g} s each, {REQUESTS_PER_SECOND} requests/s, {options.rows} images to list\n")
        print("| pattern | server |", " | ".join(FIGURES), "|\n|---|---|" + "--:|" * len(FIGURES))
        for name, server in itertools.product(options.patterns, servers):
            supported = PATTERNS[name].on_peer or not server.is_peer
            figures = measure(server, PATTERNS[name], options) if supported else "–" * len(FIGURES)
            print(f"| {name} | {server.name} | {' | '.join(figures)} |", flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default="target/release/image-service", help="a release build of the service")
    parser.add_argument("--peer-python", default=os.environ.get("BENCH_PEER_PYTHON"), help="Python with peers/requirements.txt")
    parser.add_argument("--peer-database-url", help="an empty PostgreSQL database for the peer")
    parser.add_argument("--seconds", type=float, default=20, help="duration of a phase")
    parser.add_argument("--rounds", type=int, default=3, help="phases under each pattern, each after an idle phase")
    parser.add_argument("--rows", type=int, default=1000, help="number of images to list and count")
    parser.add_argument("--patterns", nargs="+", choices=list(PATTERNS), default=list(PATTERNS), metavar="NAME", help="run only these")
    options = parser.parse_args()
    if options.peer_python and not (options.peer_database_url and shutil.which("nginx")):
        parser.error("the peer needs nginx and --peer-database-url")
    return options


def measure(server, pattern, options):
    """Alternates idle phases and phases under the pattern, and returns the figures of a table row."""
    idle, hostile, counts = [], [], Counter()
    peaks, cpu = [0, 0], [0, 0]
    for _ in range(options.rounds):
        latencies, peak, used = measure_phase(server, options)
        idle, peaks[0], cpu[0] = idle + latencies, max(peaks[0], peak), cpu[0] + used
        stop, report = multiprocessing.Event(), multiprocessing.Queue()
        attackers = multiprocessing.Process(target=attack, args=(pattern, server, stop, report), daemon=True)
        attackers.start()
        time.sleep(WARM_UP_SECONDS)
        latencies, peak, used = measure_phase(server, options)
        hostile, peaks[1], cpu[1] = hostile + latencies, max(peaks[1], peak), cpu[1] + used
        stop.set()
        counts.update(report.get(timeout=60))
        attackers.join()
        # The server needs time to notice that the connections are closed.
        time.sleep(WARM_UP_SECONDS)
    ratios = {kind: percentile(hostile, 0.95, kind) / percentile(idle, 0.95, kind) for kind in server.mix}
    worst = max(ratios, key=ratios.get)
    return [
        *(f"{percentile(phase, 0.5) * 1e3:.1f}, {percentile(phase, 0.95) * 1e3:.1f}" for phase in (idle, hostile)),
        f"{percentile(hostile, 0.95) / percentile(idle, 0.95):.2f}",
        f"{worst} {ratios[worst]:.2f}",
        ", ".join(str(sum(seconds >= TIMEOUT for _, seconds in phase)) for phase in (idle, hostile)) + f" of {len(hostile)}",
        ", ".join(f"{peak:.0f}" for peak in peaks),
        ", ".join(f"{used / options.rounds / options.seconds:.2f}" for used in cpu),
        ", ".join(f"{event}: {count // options.rounds}" for event, count in sorted(counts.items())),
    ]


def percentile(phase, share, kind=None):
    ordered = sorted(seconds for of, seconds in phase if kind in (None, of))
    return ordered[math.ceil(share * len(ordered)) - 1]  # the nearest-rank method


# The well-behaved client.


def measure_phase(server, options):
    """Sends the mix for one phase. Returns `(kind, seconds)` for each request, the server's peak memory in MiB, and its CPU seconds."""
    results, peak, cpu = multiprocessing.Queue(), 0, server.cpu()
    client = multiprocessing.Process(target=send_mix, args=(server, options.seconds, results), daemon=True)
    client.start()
    while client.is_alive() and results.empty():
        peak = max(peak, server.memory_mib())
        time.sleep(0.1)
    sent = results.get(timeout=1)
    client.join()
    return sent, peak, server.cpu() - cpu


def send_mix(server, seconds, results):
    async def timed(kind, request, due):
        try:
            async with asyncio.timeout(TIMEOUT):
                status, _ = await exchange(server.address, request, GOOD_ADDRESS)
        except (OSError, EOFError, ValueError):
            return kind, TIMEOUT
        return kind, time.perf_counter() - due if status in (200, 201) else TIMEOUT

    async def run():
        start, kinds, requests = time.perf_counter(), itertools.cycle(server.mix.items()), []
        for due in (start + number / REQUESTS_PER_SECOND for number in range(int(seconds * REQUESTS_PER_SECOND))):
            await asyncio.sleep(max(0, due - time.perf_counter()))
            requests.append(asyncio.create_task(timed(*next(kinds), due)))
        return await asyncio.gather(*requests)

    results.put(asyncio.run(run()))


async def connect(address, source):
    client = socket.socket()
    try:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        client.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(client, address)
        return client
    except BaseException:
        client.close()
        raise


async def exchange(address, request, source):
    """Sends one request on a new connection; returns the status and the body."""
    reader, writer = await asyncio.open_connection(sock=await connect(address, source))
    try:
        writer.write(request)
        return await read_response(reader)
    finally:
        writer.transport.abort()


async def read_response(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path, content_type, body, length=None):
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {length or len(body)}\r\n\r\n".encode() + body


def upload(image, tags="", user="guest", length=None):
    part = "--b\r\nContent-Disposition: form-data; name="
    fields = f'{part}"user_id"\r\n\r\n{user}\r\n{part}"tags"\r\n\r\n{tags}\r\n{part}"file"; filename="a.png"\r\n\r\n'
    return post("/images", "multipart/form-data; boundary=b", fields.encode() + image + b"\r\n--b--\r\n", length)


# The hostile clients.


def attack(pattern, server, stop, report):
    """Runs the pattern's connections until `stop`. Reports how many are open then, and counts closed ones, errors and responses."""

    async def run():
        counts = Counter()
        clients = [asyncio.create_task(client(number, counts)) for number in range(pattern.connections)]
        while not stop.is_set() and os.getppid() == parent:
            if not clients:
                sum(range(10**6))
                continue
            for failed in (await asyncio.wait(clients, timeout=0.25, return_when=asyncio.FIRST_EXCEPTION))[0]:
                failed.result()
        return +counts

    async def client(number, counts):
        while True:
            try:
                with await connect(server.address, f"127.0.1.{1 + number % pattern.addresses}") as connection:
                    counts["open"] += 1
                    try:
                        await pattern.use(connection, lambda: pattern.request(server.target), counts)
                    finally:
                        counts["open"] -= 1
                counts["closed"] += 1
            except (OSError, EOFError, ValueError) as error:
                counts[type(error).__name__] += 1
            await asyncio.sleep(0.05)

    # The loop also stops if the parent has died.
    parent = os.getppid()
    os.nice(10)
    report.put(asyncio.run(run()))


async def send_slowly(connection, request, _counts):
    """Sends a body at 17 KB/s, slightly faster than BODY_MIN_RATE."""
    for piece in itertools.chain([request()], itertools.repeat(bytes(1700))):
        await asyncio.get_running_loop().sock_sendall(connection, piece)
        await asyncio.sleep(0.1)


async def hold_open(connection, request, _counts):
    """Reads nothing, because reading would free buffer space. TCP_INFO has the state of the connection; 1 is ESTABLISHED."""
    await asyncio.get_running_loop().sock_sendall(connection, request())
    while connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1:
        await asyncio.sleep(0.25)


async def send_repeatedly(connection, request, counts):
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        while True:
            writer.write(request())
            status, _ = await read_response(reader)
            counts[str(status)] += 1
    finally:
        writer.transport.abort()


def new_size(target):
    width, height = random.randint(500, 2000), random.randint(500, 2000)
    return get(f"/images/{target['large']}/thumbnail?width={width}&height={height}&fit=cover&format=png")


def uncounted_filter(_target):
    moment = f"2020-01-01T{random.randint(0, 23):02}:{random.randint(0, 59):02}:{random.random() * 59.9:06.3f}Z"
    return get(f"/images?tags=sea,sky&start_date={moment}")


def login(_target):
    email = random.choice(["root@example.org", f"user{random.randint(0, 10**6)}@example.org"])
    return post("/token", "application/json", json.dumps({"email": email, "password": "no such password 1"}).encode())


@dataclass(frozen=True)
class Pattern:
    """What hostile clients send, on how many connections, and from how many loopback addresses."""

    use: object
    request: object
    connections: int
    addresses: int = 1
    on_peer: bool = False


INCOMPLETE_UPLOAD = upload(b"\x89PNG\r\n\x1a\n", user="slow", length=9_000_000).removesuffix(b"\r\n--b--\r\n")
INCOMPLETE_HEAD = b"GET /images HTTP/1.1\r\nHost: localhost\r\nX-Half: "
PATTERNS = {
    "slow bodies": Pattern(send_slowly, lambda _: INCOMPLETE_UPLOAD, 40, on_peer=True),
    # 200 for each address, below MAX_CONNECTIONS_PER_ADDRESS, so that the server keeps all connections open.
    "idle readers": Pattern(hold_open, lambda target: get(target["file"]), 600, 3, on_peer=True),
    "incomplete heads": Pattern(hold_open, lambda _: INCOMPLETE_HEAD, 1100, on_peer=True),
    "new sizes": Pattern(send_repeatedly, new_size, 60),
    "uncounted filters": Pattern(send_repeatedly, uncounted_filter, 60),
    # Failed logins are rate-limited by address.
    "logins": Pattern(send_repeatedly, login, 60, addresses=60),
    # The control: keeps one processor busy, as the clients of the other patterns do, and sends nothing.
    "no requests": Pattern(None, None, 0, on_peer=True),
}


# The servers.


@dataclass
class Server:
    name: str
    address: tuple
    processes: list
    mix: dict
    target: dict
    is_peer: bool = False

    def memory_mib(self):
        pages = sum(int(Path(f"/proc/{process}/statm").read_text().split()[1]) for process in self.family())
        return pages * resource.getpagesize() / 2**20

    def cpu(self):
        """Returns the CPU seconds so far. Splits after the name of the program, which may contain spaces."""
        stats = [Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split() for process in self.family()]
        return sum(int(ticks) for stat in stats for ticks in stat[11:13]) / os.sysconf("SC_CLK_TCK")

    def family(self):
        """Returns the processes and their children, such as the workers of nginx."""
        children = [Path(f"/proc/{process}/task/{process}/children").read_text().split() for process in self.processes]
        return [*self.processes, *map(int, itertools.chain(*children))]


def png(side, noise):
    """Returns a square PNG. Each line has `noise` random bytes, which are incompressible, and then a gradient."""
    gradient = bytes(column % 256 for column in range(side * 3 - noise))
    lines = b"".join(b"\0" + os.urandom(noise) + gradient for _ in range(side))

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(lines, 1)) + chunk(b"IEND", b"")


def start_service(stack, folder, options, images):
    process, address, _ = run_service(stack, folder, options)
    # Half of the images have both tags of the filter.
    rows = (upload(images["tiny"], "sea,sky" if row % 2 else "sea", f"user{row % 10}") for row in range(options.rows))
    asyncio.run(upload_all(address, rows))
    file, photo, large = asyncio.run(upload_all(address, [upload(images[name]) for name in ("file", "small", "large")]))
    mix = {"upload": upload(images["small"]), "list": get("/images?limit=20"), "image": get(f"/images/{photo}")}
    mix |= {"thumbnail": get(f"/images/{photo}/thumbnails/medium"), "original": get(f"/i/{photo}")}
    return Server("image-service", address, [process.pid], mix, {"file": f"/i/{file}", "large": large})


async def upload_all(address, uploads):
    responses = [json.loads((await exchange(address, request, GOOD_ADDRESS))[1]) for request in uploads]
    if rejected := [response for response in responses if "image_id" not in response]:
        raise SystemExit(f"an upload was rejected: {rejected[0]}")
    return [response["image_id"] for response in responses]


def run_service(stack, folder, options):
    """Starts the service with SQLite and the embedded S3 server. Returns its process, its address, and the port of the S3 server."""
    folder.mkdir()
    (folder / "password").write_text("correct horse battery 7\n")
    port, s3_port = free_port(), free_port()
    settings = {"HOST": HOST, "PORT": port, "S3_EMBEDDED_PORT": s3_port, "DATA_DIR": folder / "data", "LOG_LEVEL": "error"}
    settings |= {"ADMIN_EMAIL": "root@example.org", "ADMIN_PASSWORD_FILE": folder / "password", "AUTH_MODE": "trusted"}
    process = run(stack, [options.binary, "serve"], settings, folder / "log", (HOST, port), "/ready")
    return process, (HOST, port), s3_port


def start_peer(stack, folder, options, images):
    """Starts FastAPI behind nginx, with PostgreSQL. Its S3 server is the embedded one of a second image-service."""
    (folder / "files").mkdir(parents=True)
    _, _, s3_port = run_service(stack, folder / "storage", options)
    pair = json.loads(next((folder / "storage" / "data").rglob("credentials.json")).read_text())
    settings = {"DATABASE_URL": options.peer_database_url, "S3_ENDPOINT_URL": f"http://{HOST}:{s3_port}", "S3_BUCKET": "images"}
    settings |= {"AWS_DEFAULT_REGION": "us-east-1"} | {f"AWS_{name.upper()}": value for name, value in pair.items()}
    app, port = free_port(), free_port()
    command = [options.peer_python, "-m", "uvicorn", "--app-dir", PEERS, "--host", HOST, "--port", app, "--no-access-log"]
    python = run(stack, [*command, "fastapi_pillow:app"], settings, folder / "log", (HOST, app), "/health")
    nginx = (PEERS / "nginx.conf").read_text().replace("FOLDER", str(folder))
    (folder / "nginx.conf").write_text(nginx.replace("LISTEN", f"{HOST}:{port}").replace("APP", f"{HOST}:{app}"))
    for name, image in images.items():
        (folder / "files" / f"{name}.png").write_bytes(image)
    command = ["nginx", "-p", folder, "-c", "nginx.conf", "-e", "stderr"]
    nginx = run(stack, command, {}, folder / "log-nginx", (HOST, port), "/health")
    # The peer has no lists or image metadata, so it gets /health requests instead.
    mix = {"upload": upload(images["small"]), "list": get("/health"), "image": get("/health")}
    mix |= {"thumbnail": get("/files/tiny.png"), "original": get("/files/small.png")}
    return Server("FastAPI, nginx", (HOST, port), [python.pid, nginx.pid], mix, {"file": "/files/file.png"}, is_peer=True)


def run(stack, command, settings, log, address, path):
    """Starts a server, which the stack stops, and waits until `path` returns 200."""
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"} | {k: str(v) for k, v in settings.items()}
    process = subprocess.Popen([*map(str, command)], env=environment, stdout=log.open("wb"), stderr=subprocess.STDOUT)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, EOFError):
            if asyncio.run(exchange(address, get(path), GOOD_ADDRESS))[0] == 200:
                return process
        time.sleep(0.05)
    raise SystemExit(f"a server did not become ready:\n{log.read_text()}")


def free_port():
    with socket.create_server((HOST, 0)) as probe:
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
