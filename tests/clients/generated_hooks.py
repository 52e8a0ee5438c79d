"""Loaded by schemathesis: puts things that are there into what it generates, so that calls get past "not found", and writes down
what was sent.

``GENERATED_REAL`` names a file with what is right for each operation, ``GENERATED_SENT`` the one to write, ``GENERATED_SEED`` what
chance begins with.
"""

import json
import os
import random
import uuid
from collections import Counter
from pathlib import Path

import schemathesis

REAL = json.loads(Path(os.environ["GENERATED_REAL"]).read_text())
CHANCE = random.Random(int(os.environ["GENERATED_SEED"]))
SENT = Path(os.environ["GENERATED_SENT"]).open("w", buffering=1)  # noqa: SIM115, as long as the process
# The first calls of an operation are right.
RIGHT = 2
calls = Counter()


def name(case):
    return f"{case.operation.method.upper()} {case.operation.path}"


def is_as_documented(case):
    """It also asks by methods that a path does not have."""
    return case.method.upper() == case.operation.method.upper()


def fresh(value):
    if isinstance(value, str):
        return value.replace("$fresh$", f"n{uuid.uuid4().hex}")
    if isinstance(value, dict):
        return {key: fresh(item) for key, item in value.items()}
    return [fresh(item) for item in value] if isinstance(value, list) else value


@schemathesis.hook
def before_call(context, case, kwargs):
    real = REAL.get(name(case))
    if not real or not is_as_documented(case):
        return
    calls[name(case)] += 1
    is_right = calls[name(case)] <= RIGHT or CHANCE.random() < 0.2
    if not is_right and CHANCE.random() < 0.2:
        return
    in_path = fresh(real["path"])
    if in_path and (is_right or CHANCE.random() < 0.9):
        case.path_parameters = {**(case.path_parameters or {}), **in_path}
    if is_right:
        case.query = fresh(real["query"])
    else:
        kept = {key: value for key, value in fresh(real["query"]).items() if CHANCE.random() < 0.8}
        case.query = {**(case.query or {}), **kept}
    if "bytes" in real:
        if is_right:
            case.body = real["bytes"].encode()
    elif real["body"] and is_right:
        case.body = fresh(real["body"])
    elif real["body"] and isinstance(case.body, dict):
        kept = {key: value for key, value in fresh(real["body"]).items() if CHANCE.random() < 0.8}
        case.body = {**case.body, **kept}
    # Others speak of it by its name.
    for given in (case.query, case.body):
        if isinstance(given, dict) and real["keeps_name"]:
            given.pop("new_name", None)


@schemathesis.hook
def after_call(context, case, response):
    if is_as_documented(case):
        SENT.write(f"{name(case)} {response.status_code}\n")
