#!/usr/bin/env python3
"""Generates clients from the OpenAPI document and tests them: `check.py --program P --url URL --node-modules N --folder D`.

The document is the output of `P openapi`; the service runs at URL. All output of generators and compilers goes to the
folder D of `--folder`. Requires the Python packages in tests/provision/requirements/clients.txt. Prints one line for each
check and exits non-zero if any fails. The Go client is built only if a Go toolchain is installed.
"""

import argparse
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openapi_generator_cli
import yaml

HERE = Path(__file__).resolve().parent
# The time limit for one generator, compiler or client. Each takes a few seconds, and longer on a busy machine.
SECONDS = 300
# Files that are copied next to the generated clients.
SOURCES = ["scenario.ts", "use_*.ts", "use_*.py", "orval_fetch.ts", "orval.config.cjs", "tsconfig.json", "spectral.yaml"]
# Disables output of openapi-generator that the checks do not use.
NO_DOCUMENTS = "apiDocs=false,modelDocs=false,apiTests=false,modelTests=false"


class Failed(Exception):
    """A check failed; the message says why."""


class Clients:
    """The folder in which clients are generated, and the programs that run there."""

    def __init__(self, arguments):
        self.folder = arguments.folder
        self.program = arguments.program
        self.url = arguments.url
        self.node_modules = arguments.node_modules
        self.document = self.folder / "openapi.yaml"
        variables = {"BASE_URL": self.url, "IMAGE_FILE": str(self.folder / "upload.png"), "PYTHONPATH": str(self.folder)}
        self.environment = {**os.environ, **variables}

    def prepare(self):
        for pattern in SOURCES:
            for path in HERE.glob(pattern):
                shutil.copy(path, self.folder)
        (self.folder / "node_modules").symlink_to(self.node_modules)
        (self.folder / "upload.png").write_bytes(noise(64, 64))
        self.document.write_text(self.run(self.program, "openapi"))

    def run(self, *argv):
        """Runs a program and returns its output. Raises `Failed` if it exits non-zero."""
        argv = [str(word) for word in argv]
        result = subprocess.run(
            argv, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
        )
        if result.returncode != 0:
            raise Failed(f"{Path(argv[0]).name} exited with {result.returncode}:\n{result.stdout}")
        return result.stdout

    def node(self, command, *argv):
        return self.run(self.folder / "node_modules" / ".bin" / command, *argv)

    def python(self, *argv):
        return self.run(sys.executable, *argv)

    # The document.

    def check_yaml(self):
        """Checks that openapi.yaml equals /openapi.json. Like many generators, PyYAML reads it as YAML 1.1."""
        with urllib.request.urlopen(f"{self.url}/openapi.json") as response:
            served = json.load(response)
        parsed = yaml.safe_load(self.document.read_text())
        for part in served.keys() - {"servers"}:
            if parsed[part] != served[part]:
                raise Failed(f"openapi.yaml and /openapi.json differ in {part}")

    def check_spectral(self):
        self.node("spectral", "lint", "--ruleset", "spectral.yaml", "--fail-severity", "error", self.document)

    # Generators.

    def openapi_generator(self, language, output, *options):
        jar = Path(openapi_generator_cli.__file__).with_name("openapi-generator.jar")
        argv = ["generate", "-i", self.document, "-g", language, "-o", output, "--global-property", NO_DOCUMENTS]
        self.run("java", "-jar", jar, *argv, *options)

    def generate_python(self):
        self.openapi_generator("python", "openapi_generator_python")
        shutil.move(self.folder / "openapi_generator_python" / "openapi_client", self.folder)

    def generate_typescript_fetch(self):
        self.openapi_generator("typescript-fetch", "typescript_fetch")

    def generate_go(self):
        self.openapi_generator("go", "go_client")

    def generate_openapi_python_client(self):
        # By default, the generator formats its output with Ruff, which is not on the PATH.
        (self.folder / "openapi_python_client.yaml").write_text("post_hooks: []\n")
        output = ["--output-path", "generated_openapi_python_client", "--meta", "none", "--config", "openapi_python_client.yaml"]
        self.python("-m", "openapi_python_client", "generate", "--path", self.document, *output)

    def generate_hey_api(self):
        self.node("openapi-ts", "-i", self.document, "-o", "hey_api", "-c", "@hey-api/client-fetch", "--silent")

    def generate_orval(self):
        self.node("orval", "--config", "orval.config.cjs")

    # Compilers.

    def check_types_of_python(self):
        self.python("-m", "mypy", "openapi_client", "generated_openapi_python_client")

    def check_types_of_typescript(self):
        self.node("tsc", "-p", "tsconfig.json")
        # Without this, Node would treat the compiled files as ES modules.
        (self.folder / "js" / "package.json").write_text('{"type": "commonjs"}')

    def check_go(self):
        folder = self.folder / "go_client"
        self.run("go", "-C", folder, "vet", "./...")

    # Tests of the generated clients.

    def use(self, name):
        script = self.folder / f"use_{name}.py"
        if script.exists():
            return self.python(script)
        return self.run("node", self.folder / "js" / f"use_{name}.js")


def noise(width, height):
    """Returns a PNG of random noise. Noise is incompressible, so the file exceeds the minimum size of uploads."""
    shades = random.Random(1)
    rows = b"".join(b"\0" + shades.randbytes(3 * width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def check_stages(clients):
    """Returns the checks in stages. The checks of a stage run concurrently."""
    document = {
        "openapi.yaml equals /openapi.json": clients.check_yaml,
        "Spectral finds no error": clients.check_spectral,
        "openapi-generator generates a Python client": clients.generate_python,
        "openapi-generator generates a TypeScript client": clients.generate_typescript_fetch,
        "openapi-generator generates a Go client": clients.generate_go,
        "openapi-python-client generates a client": clients.generate_openapi_python_client,
        "hey-api generates a client": clients.generate_hey_api,
        "orval generates a client": clients.generate_orval,
    }
    types = {
        "mypy accepts the Python clients": clients.check_types_of_python,
        "tsc accepts the TypeScript clients and the scripts that use them": clients.check_types_of_typescript,
    }
    if shutil.which("go"):
        types["go vet accepts the Go client"] = clients.check_go
    names = ["openapi_generator", "openapi_python_client", "typescript_fetch", "hey_api", "orval"]
    uses = {f"the {name} client works": (lambda name=name: clients.use(name)) for name in names}
    return [document, types, uses]


def run_check(name, check):
    try:
        check()
    except (Failed, OSError, subprocess.SubprocessError) as error:
        print(f"FAIL  {name}: {error}", flush=True)
        return False
    print(f"ok    {name}", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("program", "node-modules", "folder"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--url", required=True)
    clients = Clients(parser.parse_args())
    clients.prepare()
    results = []
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 4)) as pool:
        for stage in check_stages(clients):
            results += pool.map(run_check, stage.keys(), stage.values())
            if not all(results):
                break
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
