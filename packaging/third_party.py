#!/usr/bin/env python3
"""Writes what has to go with a binary: the licences of everything that is in it, and a list of it (CycloneDX 1.5).

    packaging/third_party.py FOLDER [FEATURE...]

FOLDER gets THIRD-PARTY-NOTICES.txt and sbom.cdx.json. It reads the sources of the crates, and downloads those that are missing,
such as those of the tests. It fails if the licence of a C library or of a script that is built in is not found, or if a crate
has a licence that `deny.toml` does not allow, or comes from elsewhere than crates.io.
"""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "COPYRIGHT", "PATENTS")

# What crates and this repository contain that is not Rust: name, crate (or None), paths of its licence within, its SPDX identifier.
CONTAINED = [
    ("libwebp", "libwebp-sys", ["vendor/COPYING", "vendor/PATENTS"], "BSD-3-Clause"),
    ("mozjpeg", "mozjpeg-sys", ["LICENSE"], "IJG AND BSD-3-Clause AND Zlib"),
    ("AWS-LC", "aws-lc-sys", ["aws-lc/LICENSE"], "ISC AND Apache-2.0"),
    ("mimalloc", "libmimalloc-sys", ["c_src/mimalloc/v2/LICENSE"], "MIT"),
    ("SQLite", "libsqlite3-sys", [], "blessing"),
    ("Swagger UI", "utoipa-swagger-ui-vendored", ["res/*.zip!*/LICENSE", "res/*.zip!*/NOTICE"], "Apache-2.0"),
    ("Redoc", None, ["src/http/openapi/docs/redoc.LICENSE.txt", "src/http/openapi/docs/redoc.standalone.js.LICENSE.txt"], "MIT"),
]
STATEMENTS = """This software is based in part on the work of the Independent JPEG Group.

SQLite is in the public domain: https://sqlite.org/copyright.html
"""


def main(folder, features):
    metadata = cargo_metadata(features)
    packages = linked_packages(metadata)
    check(packages)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "THIRD-PARTY-NOTICES.txt").write_text(notices(packages), encoding="utf-8")
    (folder / "sbom.cdx.json").write_text(json.dumps(sbom(metadata, packages), indent=1) + "\n", encoding="utf-8")
    print(f"{folder}: {len(packages)} crates, {len(CONTAINED)} other components")


def cargo_metadata(features):
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]
    command += ["--no-default-features", "--features", ",".join(features)] if features else []
    return json.loads(subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE).stdout)


def linked_packages(metadata):
    """Those that are linked into the binary: over normal dependencies alone, and no macros, which run while it is built."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    found, left = set(), [root]
    while left:
        for dependency in nodes[left.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            package = packages[dependency["pkg"]]
            macro = any("proc-macro" in target["kind"] for target in package["targets"])
            if normal and not macro and package["id"] not in found:
                found.add(package["id"])
                left.append(package["id"])
    return sorted((packages[identity] for identity in found), key=lambda package: (package["name"], package["version"]))


def check(packages):
    allowed = set(tomllib.loads((REPOSITORY / "deny.toml").read_text(encoding="utf-8"))["licenses"]["allow"])
    for package in packages:
        name = f"{package['name']} {package['version']}"
        if package["source"] != "registry+https://github.com/rust-lang/crates.io-index":
            sys.exit(f"{name} comes from {package['source']}")
        if not is_allowed(expression(package), allowed):
            sys.exit(f"the licence of {name} is not one that deny.toml allows: {package['license']}")


def expression(package):
    # Older manifests write a slash for OR.
    return re.sub(r"\s*/\s*", " OR ", package["license"] or "NOASSERTION")


def is_allowed(licence, allowed):
    """Whether an SPDX expression can be met. AND binds closer than OR."""
    tokens = re.findall(r"[()]|[^\s()]+(?:\s+WITH\s+[^\s()]+)?", licence)

    def either():
        met = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            met = both() or met
        return met

    def both():
        met = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            met = one() and met
        return met

    def one():
        token = tokens.pop(0)
        if token != "(":
            return token in allowed
        met = either()
        tokens.pop(0)
        return met

    return either()


def notices(packages):
    folders = {package["name"]: Path(package["manifest_path"]).parent for package in packages}
    sections = ["Third-party software in image-service\n\n" + STATEMENTS]
    for name, crate, paths, licence in CONTAINED:
        if crate is None or crate in folders:
            texts = [text for path in paths for text in contained(folders[crate] if crate else REPOSITORY, path)]
            if len(texts) < len(paths):
                sys.exit(f"the licence of {name} is not where it was: {paths}")
            sections.append(section(f"{name} ({licence})", texts))
    # Most crates have the same few texts, each of which is given once.
    by_text = {}
    for package in packages:
        folder = Path(package["manifest_path"]).parent
        title = f"{package['name']} {package['version']} ({package['license'] or 'see below'})"
        texts = [path.read_text(encoding="utf-8", errors="replace").strip() for path in licence_files(folder)]
        if not texts:
            authors = ", ".join(package["authors"]) or "its authors"
            texts = [f"The package has no text of its licence. Copyright: {authors}; {package['repository'] or ''}"]
        for text in texts:
            by_text.setdefault(text, []).append(title)
    sections += [section("\n".join(titles), [text]) for text, titles in by_text.items()]
    return ("\n" + "=" * 100 + "\n").join(sections)


def section(title, texts):
    return title + "\n\n" + ("\n\n" + "-" * 40 + "\n\n").join(texts) + "\n"


def licence_files(folder):
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name.upper().startswith(NAMES))


def contained(folder, pattern):
    """The text of a file, or of one in an archive: ARCHIVE!PATH. Either may be a pattern."""
    outer, _, inner = pattern.partition("!")
    for path in sorted(folder.glob(outer)):
        if not inner:
            yield path.read_text(encoding="utf-8", errors="replace").strip()
            continue
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.count("/") == 1 and Path(name).match(inner)), None)
            if name:
                yield archive.read(name).decode("utf-8", errors="replace").strip()


def sbom(metadata, packages):
    lock = tomllib.loads((REPOSITORY / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    checksums = {(entry["name"], entry["version"]): entry.get("checksum") for entry in lock}
    root = next(package for package in metadata["packages"] if package["id"] == metadata["resolve"]["root"])
    versions = {package["name"]: package["version"] for package in packages}
    components = [component(package, checksums.get((package["name"], package["version"]))) for package in packages]
    for name, crate, _, licence in CONTAINED:
        if crate is None or crate in versions:
            within = f"contained in {crate} {versions[crate]}" if crate else "contained in this repository"
            licences = [{"license": {"id": licence}}] if " " not in licence else [{"expression": licence}]
            components.append({"type": "library", "name": name, "licenses": licences, "description": within})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(root, None) | {"type": "application"}},
        "components": components,
    }


def component(package, checksum):
    purl = f"pkg:cargo/{package['name']}@{package['version']}"
    described = {"type": "library", "bom-ref": purl, "name": package["name"], "version": package["version"], "purl": purl}
    if package["license"]:
        described["licenses"] = [{"expression": expression(package)}]
    if checksum:
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return described


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
