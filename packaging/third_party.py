#!/usr/bin/env python3
"""Writes the third-party notices and the SBOM (CycloneDX 1.5) of the binary.

    packaging/third_party.py FOLDER [FEATURE...]

Writes THIRD-PARTY-NOTICES.txt and sbom.cdx.json to FOLDER. Reads the sources of the crates, and downloads missing ones. Fails if the
licence of a bundled C library or script is not found, if `deny.toml` does not allow the licence of a crate, or if a crate is not
from crates.io.
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

# Bundled components that are not Rust: name, crate that contains it (None for this repository), paths of the licence in that
# crate, SPDX identifier.
BUNDLED = [
    ("libwebp", "libwebp-sys", ["vendor/COPYING", "vendor/PATENTS"], "BSD-3-Clause"),
    ("mozjpeg", "mozjpeg-sys", ["LICENSE"], "IJG AND BSD-3-Clause AND Zlib"),
    ("AWS-LC", "aws-lc-sys", ["aws-lc/LICENSE"], "ISC AND Apache-2.0"),
    ("mimalloc", "libmimalloc-sys", ["c_src/mimalloc/v2/LICENSE"], "MIT"),
    ("SQLite", "libsqlite3-sys", [], "blessing"),
    ("Swagger UI", "utoipa-swagger-ui-vendored", ["res/*.zip!*/LICENSE", "res/*.zip!*/NOTICE"], "Apache-2.0"),
    ("htm", None, ["src/web/assets/vendor/htm/LICENSE"], "Apache-2.0"),
    ("Preact", None, ["src/web/assets/vendor/preact/LICENSE"], "MIT"),
    ("Preact Signals", None, ["src/web/assets/vendor/signals-core/LICENSE"], "MIT"),
    ("ThumbHash", None, ["src/web/assets/vendor/thumbhash/package.json"], "MIT"),
    ("Redoc", None, ["src/web/assets/vendor/redoc/LICENSE", "src/web/assets/vendor/redoc/redoc.standalone.js.LICENSE.txt"], "MIT"),
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
    print(f"{folder}: {len(packages)} crates, {len(BUNDLED)} other components")


def cargo_metadata(features):
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]
    command += ["--no-default-features", "--features", ",".join(features)] if features else []
    return json.loads(subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE).stdout)


def linked_packages(metadata):
    """Returns the packages linked into the binary: normal dependencies, without procedural macros, which run at build time."""
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
            sys.exit(f"{name} comes from {package['source']}, not from crates.io")
        if not is_allowed(expression(package), allowed):
            sys.exit(f"deny.toml does not allow the licence of {name}: {package['license']}")


def expression(package):
    # Older manifests use a slash for OR.
    return re.sub(r"\s*/\s*", " OR ", package["license"] or "NOASSERTION")


def is_allowed(licence, allowed):
    """Returns whether the allowed licences satisfy an SPDX expression. AND binds tighter than OR."""
    tokens = re.findall(r"[()]|[^\s()]+(?:\s+WITH\s+[^\s()]+)?", licence)

    def parse_or():
        satisfied = parse_and()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            satisfied = parse_and() or satisfied
        return satisfied

    def parse_and():
        satisfied = parse_operand()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            satisfied = parse_operand() and satisfied
        return satisfied

    def parse_operand():
        token = tokens.pop(0)
        if token != "(":
            return token in allowed
        satisfied = parse_or()
        tokens.pop(0)
        return satisfied

    return parse_or()


def notices(packages):
    folders = {package["name"]: Path(package["manifest_path"]).parent for package in packages}
    sections = ["Third-party software in image-service\n\n" + STATEMENTS]
    for name, crate, paths, licence in BUNDLED:
        if crate is None or crate in folders:
            texts = [text for path in paths for text in contained(folders[crate] if crate else REPOSITORY, path)]
            if len(texts) < len(paths):
                sys.exit(f"the licence of {name} was not found: {paths}; update BUNDLED")
            sections.append(section(f"{name} ({licence})", texts))
    # Many crates have identical licence texts. Each text is written only once.
    by_text = {}
    for package in packages:
        folder = Path(package["manifest_path"]).parent
        title = f"{package['name']} {package['version']} ({package['license'] or 'see below'})"
        texts = [path.read_text(encoding="utf-8", errors="replace").strip() for path in licence_files(folder)]
        if not texts:
            authors = ", ".join(package["authors"]) or "its authors"
            texts = [f"The package contains no licence text. Copyright: {authors}; {package['repository'] or ''}"]
        for text in texts:
            by_text.setdefault(text, []).append(title)
    sections += [section("\n".join(titles), [text]) for text, titles in by_text.items()]
    return ("\n" + "=" * 100 + "\n").join(sections)


def section(title, texts):
    return title + "\n\n" + ("\n\n" + "-" * 40 + "\n\n").join(texts) + "\n"


def licence_files(folder):
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name.upper().startswith(NAMES))


def contained(folder, pattern):
    """Yields the texts of matching files or, for ARCHIVE!PATH, of a file in each matching archive. Both parts may be patterns."""
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
    for name, crate, _, licence in BUNDLED:
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
