"""The second half of the demo: features, gates, serving, labels, drift, a challenger, and why.

Every step is a command that a person could type or a script of this folder. What the gates and the monitor say is what they
find in the data. The first model has to pass, one that sees nothing but amounts has to fail, served rows have to have their looked-up
features, and there has to be drift, an alert, and a challenger that it started. Whether that is good enough is for the gates to say, and
the demo goes on either way.
"""

import csv
import json
import sys
from pathlib import Path

import data
import land

HERE = Path(__file__).resolve().parent
MODEL = "prod.risk.fraud_scorer"
PASSED, FAILED, NOT_JUDGED = 0, 1, 2
# Columns that the second day differs in at any hour, and the hours of the first day among themselves hardly.
MOVED = ("V1", "V3")
ATTEMPTS = 3


def walk(demo) -> None:
    step, strongback = demo.console.step, demo.strongback
    with step("Land day 1 as governed tables"):
        demo.python("land.py")
        strongback("table", "import", "transactions.csv", "--name", "prod.risk.transactions")
        strongback("table", "import", "labelled.csv", "--name", "prod.risk.labelled")
        statement = "SELECT count(*) AS transactions, sum(Class) AS frauds FROM prod.risk.labelled"
        strongback("sql", statement)
    with step("Declare features once, compute them, and pin three sets of rows"):
        strongback("feature-table", "apply", str(HERE / "amounts.yaml"))
        strongback("feature-table", "materialize", "prod.risk.amounts", "--wait")
        sets = ["--labels", "prod.risk.labelled", "--features", "prod.risk.amounts", "--label", data.TARGET]
        strongback("training-set", "create", "prod.risk.train", *sets, "--where", land.DAY)
        strongback("training-set", "create", "prod.risk.evening", *sets, "--where", land.EVENING)
        strongback("training-set", "create", "prod.risk.same_hours", *sets, "--where", land.same_hours())
        strongback("training-set", "rebuild", "prod.risk.train")
    with step("Train a model on hours 0–18; only gates make it champion"):
        demo.python("train_on.py", "--training-set", "prod.risk.train", "--kind", "logistic")
        strongback("model", "govern", MODEL, "--aliases", "champion")
        gate(demo, PASSED)
    with step("Serve the champion"):
        strongback("endpoint", "create", "fraud", "--model", f"{MODEL}@champion")
    with step("A worse one is kept out, and the report says why"):
        demo.python("train_on.py", "--training-set", "prod.risk.train", "--kind", "amounts")
        gate(demo, FAILED)
        judged_worse(demo)
    with step("Let day 2 happen, as fast as it answers"):
        demo.python("replay.py")
        strongback("endpoint", "log", "fraud", "--flush")
        all_logged(demo)
    with step("Labels arrive; what was served is what a training set has for the same rows, to the last bit"):
        strongback("labels", "import", labels(demo), "--endpoint", "prod.risk.fraud")
        strongback("table", "import", "labelled_later.csv", "--name", "prod.risk.labelled")
        strongback("training-set", "create", "prod.risk.replayed", *sets, "--where", land.REPLAYED)
        as_served(demo)
    with step("Watch what was served: it is not what the same hours of day 1 were, and alerts are raised"):
        strongback("command", "declare", "prod.risk.train_fraud", "--file", command(demo))
        strongback("monitor", "apply", str(HERE / "monitor.yaml"))
        strongback("monitor", "run", "prod.risk.fraud", "--wait")
        worst = (
            "SELECT column_name, round(max(value), 2) AS psi FROM prod.risk.fraud_drift WHERE metric = 'psi' "
            "GROUP BY column_name ORDER BY psi DESC LIMIT 5"
        )
        strongback("sql", worst)
        strongback("alert", "list")
        drifted = {one["column"] for one in json.loads(demo.answer("alert", "list", "--json"))}
        demo.require(set(MOVED) <= drifted, f"{' and '.join(MOVED)} differ between the days, and no alert says so")
    with step("The alert has queued a training on fresher data; a runner does it"):
        strongback("job", "list", "--kind", "command")
        before = challenger(demo)
        strongback("runner", "--once", "--work-dir", "runner")
        demo.require(challenger(demo) > before, "the training that the alert queued made no newer challenger")
    with step("The challenger goes through the same gates"):
        gate(demo, PASSED, FAILED)
        strongback("history", f"{MODEL}@champion")
    with step("Why did this transaction get this score?"):
        strongback("why", highest(demo))
    with step("Take the champion back to where it was"):
        if len(moves(demo)) == 1:
            demo.console.line(
                "the gates kept the challenger out: an administrator moves the alias on his word, and back"
            )
            override = ["--override", "--reason", "shown in the demo"]
            strongback("promote", MODEL, "challenger", "--alias", "champion", *override)
        strongback("rollback", MODEL, "--reason", "shown in the demo")
        newest, before, *_ = moves(demo)
        is_back = newest["to_version"] == before["from_version"] and "rollback_of" in (newest["evidence"] or {})
        demo.require(is_back, "the champion was not taken back")
    with step("All of this is in the audit log, and the log proves itself"):
        strongback("audit-log", "list", "--asset", MODEL, "--action", "alias")
        strongback("audit-log", "verify")


def all_logged(demo) -> None:
    """Each request that was answered is in the payload table, once."""
    log = json.loads(demo.answer("endpoint", "log", "fraud", "--json"))
    asked = len(requests(demo))
    counts = [log[name] for name in ("served", "logged", "drained", "drained_rows")]
    demo.require(counts == [asked] * len(counts), f"{asked} requests were answered, and the log says {log}")


def as_served(demo) -> None:
    """The features that requests were answered with, against those that a training set has for the same transactions."""
    statement = (
        "SELECT count(*) AS compared, count(s.amount_mean_1h) AS with_features, "
        "sum(CASE WHEN (s.amount_count_1h IS DISTINCT FROM t.amount_count_1h) "
        "OR (s.amount_mean_1h IS DISTINCT FROM t.amount_mean_1h) "
        "OR (s.amount_std_1h IS DISTINCT FROM t.amount_std_1h) THEN 1 ELSE 0 END) AS differ "
        "FROM prod.risk.fraud_payload AS s JOIN prod.risk.replayed AS t ON s._client_request_id = concat('tx-', CAST(t.tx_id AS STRING))"
    )
    demo.strongback("sql", statement)
    (row,) = csv.DictReader(demo.answer("sql", statement, "--format", "csv").splitlines())
    compared, found = int(row["compared"]), int(row["with_features"])
    demo.require(compared == len(requests(demo)), f"{compared} of the requests are in the training set")
    demo.require(2 * found > compared, "features were not looked up")
    demo.require(row["differ"] == "0", f"{row['differ']} requests were answered with other features")


def judged_worse(demo) -> None:
    """The newest report says that it was its accuracy that the candidate failed by."""
    newest = json.loads(demo.answer("gate", "list", "--model", MODEL, "--json"))[0]
    report = json.loads(demo.answer("gate", "show", newest["report_id"], "--json", codes=(FAILED,)))["report"]
    failed = [check["name"] for check in report["checks"] if check["outcome"] == "fail"]
    demo.require("accuracy.average_precision" in failed, f"the report says that it failed by {failed}")


def moves(demo) -> list[dict]:
    """How the champion moved, the newest first."""
    return json.loads(demo.answer("history", f"{MODEL}@champion", "--json"))["moves"]


def challenger(demo) -> int:
    """The version that the alias of this name points to."""
    shown = json.loads(demo.answer("history", f"{MODEL}@challenger", "--json"))
    return shown["current_version"]


def gate(demo, *verdicts: int) -> None:
    """Judges the challenger; the verdict has to be one of these. Where a machine is too busy to tell, it is asked again."""
    judged = ["--model", MODEL, "--candidate", "challenger", "--move", "champion"]
    command = ["gate", "run", *judged, "--config", str(HERE / "gates.yaml")]
    for _ in range(ATTEMPTS - 1):
        demo.strongback(*command, codes=(*verdicts, NOT_JUDGED))
        if demo.code in verdicts:
            return
        demo.console.line("the gates could not judge; once more")
    demo.strongback(*command, codes=verdicts)


def requests(demo) -> list[dict]:
    """What was asked, with its id and its score."""
    with (demo.server.folder / "requests.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def labels(demo) -> str:
    """Who was a fraud, by request: what comes back from the people who look into it."""
    with (demo.server.folder / "labels.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["request_id", "row", "label"])
        out.writerows([row["request_id"], row["row"], row[data.TARGET]] for row in requests(demo))
    return "labels.csv"


def highest(demo) -> str:
    """The request with the highest score."""
    return max(requests(demo), key=lambda row: float(row["score"]))["request_id"]


def command(demo) -> str:
    """The declared training: this Python, the script, and one parameter."""
    argv = [sys.executable, str(HERE / "train_on.py"), "--kind", "{kind}"]
    text = (
        f"argv = {json.dumps(argv)}\nwall_seconds = 900\nmemory_mb = 4096\n\n"
        '[params.kind]\ntype = "text"\ndefault = "logistic"\n'
    )
    (demo.server.folder / "train_fraud.toml").write_text(text)
    return "train_fraud.toml"
