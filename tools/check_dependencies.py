#!/usr/bin/env python3
"""Checks every crate of Cargo.lock against deny.toml: licences, banned and doubled crates, sources.

It needs nothing but Cargo and the standard library, so it runs on every machine; cargo-deny, where it is installed, reads
the same file and says the same in more detail. Exit code 1 when anything is refused, with one line for each.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# How Cargo names crates.io, also where a mirror replaces it.
CRATES_IO = {"registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"}
TOKEN = re.compile(r"\(|\)|[A-Za-z0-9.+-]+")


def licence_allowed(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression can be met with `allowed` licences. `/` is the old spelling of OR.

    >>> licence_allowed("MIT/Apache-2.0", {"MIT"}), licence_allowed("MIT AND (GPL-3.0 OR ISC)", {"MIT", "ISC"})
    (True, True)
    >>> licence_allowed("MIT AND GPL-3.0", {"MIT"}), licence_allowed("Apache-2.0 WITH LLVM-exception", {"Apache-2.0"})
    (False, False)
    """
    tokens = TOKEN.findall(expression.replace("/", " OR "))

    def any_of() -> bool:
        verdict = all_of()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            verdict = all_of() or verdict
        return verdict

    def all_of() -> bool:
        verdict = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            verdict = one() and verdict
        return verdict

    def one() -> bool:
        if not tokens:
            return False
        name = tokens.pop(0)
        if name == "(":
            verdict = any_of()
            return bool(tokens) and tokens.pop(0) == ")" and verdict
        if len(tokens) >= 2 and tokens[0] == "WITH":
            tokens.pop(0)
            name = f"{name} WITH {tokens.pop(0)}"
        return name in allowed

    return any_of() and not tokens


def refusals(packages: list[dict], rules: dict) -> list[str]:
    """One sentence for everything that `rules` refuse among `packages` (as `cargo metadata` gives them)."""
    allowed = set(rules["licenses"]["allow"])
    exceptions = {entry["crate"]: set(entry["allow"]) for entry in rules["licenses"].get("exceptions", [])}
    found = []
    versions = defaultdict(set)
    for package in packages:
        name = f"{package['name']} {package['version']}"
        versions[package["name"]].add(package["version"])
        licence = package["license"]
        if not licence:
            found.append(f"{name} names no licence")
        elif not licence_allowed(licence, allowed | exceptions.get(package["name"], set())):
            found.append(f"{name} is under '{licence}', which [licenses] does not allow")
        source = package["source"]
        if source is not None and source not in CRATES_IO:
            found.append(f"{name} comes from {source}; only crates.io and this workspace are allowed")
    for ban in rules["bans"]["deny"]:
        crate = ban["crate"]
        if not ban.get("deny-multiple-versions"):
            found += [f"{crate} {version} is banned" for version in sorted(versions[crate])]
        elif len(versions[crate]) > 1:
            found.append(f"{crate} is there more than once: {', '.join(sorted(versions[crate]))}")
    return found


def main() -> int:
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    found = refusals(metadata["packages"], rules)
    for refusal in found:
        print(f"dependencies: {refusal}", file=sys.stderr)
    print(f"dependencies: {len(metadata['packages'])} crates, {len(found)} refused")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
