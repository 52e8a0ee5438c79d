"""Things for calls to speak of, made through the interface when they are named.

A word such as ``$run$`` in the fields of an example (``examples.py``) stands for one of them; ``$fresh$`` for another name each time.
"""

import json
import re
import uuid
from typing import Any
from urllib.parse import quote, urlencode

from raw import JSON, MLFLOW, Answer, Raw

UNITY = "/api/2.1/unity-catalog"
TAGS = [{"key": "t", "value": "1"}]
WORD = re.compile(r"\$([a-z0-9_]+)\$")


class World:
    """A corner of a store that no other world shares, but for the words that it takes from ``base``."""

    def __init__(self, raw: Raw, base: dict[str, str] | None = None):
        self.raw = raw
        self.known = dict(base or {})

    def get(self, word: str) -> str:
        if word == "fresh":
            return f"n{uuid.uuid4().hex}"
        if word not in self.known:
            value = getattr(self, f"make_{word}")()
            self.known.setdefault(word, value)
        return self.known[word]

    def fill(self, fields: Any) -> Any:
        """The same with the world's things in the place of the words that stand for them."""
        if isinstance(fields, dict):
            return {key: self.fill(value) for key, value in fields.items()}
        if isinstance(fields, list):
            return [self.fill(value) for value in fields]
        return WORD.sub(lambda found: self.get(found[1]), fields) if isinstance(fields, str) else fields

    def send(self, operation: str, fields: dict) -> Answer:
        """Sends what is filled already. What stands in the path goes there, the rest into the query or the body."""
        method, template = operation.split(" ")
        rest = dict(fields)
        path = re.sub(r"\{(\w+)\}", lambda found: quote(str(rest.pop(found[1]))), template)
        if method in ("GET", "HEAD", "PUT") and rest and template not in JSON_BY_PUT:
            return self.raw.send(method, f"{path}?{urlencode(rest, doseq=True)}")
        return self.raw.send(method, path, json.dumps(rest), JSON)

    def call(self, operation: str, **fields: Any) -> dict:
        answer = self.send(operation, self.fill(fields))
        assert answer.status == 200, (operation, fields, answer)
        return answer.json

    def put(self, path: str, text: str = "text") -> None:
        answer = self.raw.send("PUT", path, text, {"Content-Type": "application/octet-stream"})
        assert answer.status in (200, 204), (path, answer)

    def make_exp(self):
        self.known["exp_name"] = self.get("fresh")
        return self.call(f"POST {MLFLOW}/experiments/create", name="$exp_name$", tags=TAGS)["experiment_id"]

    def make_exp_name(self):
        self.get("exp")
        return self.known["exp_name"]

    def make_dead_exp(self):
        made = self.call(f"POST {MLFLOW}/experiments/create", name="$fresh$")["experiment_id"]
        self.call(f"POST {MLFLOW}/experiments/delete", experiment_id=made)
        return made

    def make_run(self):
        made = self.call(f"POST {MLFLOW}/runs/create", experiment_id="$exp$", run_name="r", tags=TAGS)
        run_id = made["run"]["info"]["run_id"]
        points = [{"key": "m", "value": 0.5, "timestamp": 1, "step": step} for step in range(2)]
        params = [{"key": "p", "value": "1"}]
        self.call(f"POST {MLFLOW}/runs/log-batch", run_id=run_id, metrics=points, params=params)
        return run_id

    make_other_run = make_run

    def make_dead_run(self):
        run_id = self.make_run()
        self.call(f"POST {MLFLOW}/runs/delete", run_id=run_id)
        return run_id

    def make_logged(self):
        params = [{"key": "p", "value": "1"}]
        made = self.call(f"POST {MLFLOW}/logged-models", experiment_id="$exp$", name="l", tags=TAGS, params=params)
        model_id = made["model"]["info"]["model_id"]
        self.put(f"/api/2.0/mlflow-artifacts/artifacts/{self.get('exp')}/models/{model_id}/artifacts/dir/f.txt")
        return model_id

    def make_model(self):
        name = self.get("fresh")
        self.call(f"POST {MLFLOW}/registered-models/create", name=name, tags=TAGS)
        self.call(f"POST {MLFLOW}/model-versions/create", name=name, source="models:/$logged$", tags=TAGS)
        self.call(f"POST {MLFLOW}/registered-models/alias", name=name, alias="champion", version="1")
        return name

    def make_moved(self):
        """Its alias pointed to the first version and points to the second."""
        name = self.make_model()
        self.call(f"POST {MLFLOW}/model-versions/create", name=name, source="models:/$logged$")
        self.call(f"POST {MLFLOW}/registered-models/alias", name=name, alias="champion", version="2")
        return name

    def make_run_root(self):
        return f"{self.get('exp')}/{self.get('run')}/artifacts"

    def make_run_file(self):
        path = f"{self.get('run_root')}/dir/f.txt"
        self.put(f"/api/2.0/mlflow-artifacts/artifacts/{path}")
        return path

    def make_run_of_file(self):
        self.get("run_file")
        return self.get("run")

    def make_mpu(self):
        """An upload into the run with its two parts sent."""
        path = "/api/2.0/mlflow-artifacts/mpu/create/{root}"
        made = self.call(f"POST {path}", root="$run_root$", path="/home/ada/big.bin", num_parts=2)
        for part in made["credentials"]:
            self.put(part["url"].removeprefix(self.raw.server.url))
        return made["upload_id"]

    def make_catalog(self):
        return self.call(f"POST {UNITY}/catalogs", name="$fresh$")["name"]

    def make_s(self):
        return self.call(f"POST {UNITY}/schemas", name="s", catalog_name="$catalog$")["name"]

    def make_schema(self):
        return f"{self.get('catalog')}.{self.get('s')}"

    def make_table(self):
        return self.call(f"POST {UNITY}/tables", catalog_name="$catalog$", schema_name="$s$", name="$fresh$")[
            "full_name"
        ]

    def make_gov(self):
        name = f"{self.get('schema')}.{self.get('fresh')}"
        self.known["gov_name"] = name.split(".")[-1]
        models = f"{MLFLOW}/unity-catalog"
        self.call(f"POST {models}/registered-models/create", name=name, tags=TAGS)
        self.pending_version(name, 1)
        self.call(f"POST {models}/model-versions/finalize", name=name, version="1")
        self.call(f"POST {models}/registered-models/alias", name=name, alias="champion", version="1")
        return name

    def make_gov_name(self):
        self.get("gov")
        return self.known["gov_name"]

    def make_gov2(self):
        self.pending_version(self.get("gov"), 2)
        return "2"

    def make_gov_dir(self):
        return f"Models/{self.get('gov').replace('.', '/')}/1"

    def make_gov2_dir(self):
        return f"Models/{self.get('gov').replace('.', '/')}/{self.get('gov2')}"

    def pending_version(self, name, number):
        """A version whose file is there and which is not finalized."""
        create = f"POST {MLFLOW}/unity-catalog/model-versions/create"
        self.call(create, name=name, source="models:/$logged$", tags=TAGS)
        self.put(f"/api/2.0/fs/files/Models/{name.replace('.', '/')}/{number}/dir/f.txt")

    def make_session(self):
        """An upload into the pending version with its first part sent."""
        path = f"{self.get('gov2_dir')}/big.bin"
        begun = self.raw.send("POST", f"/api/2.0/fs/files/{path}?action=initiate-upload", "{}", JSON)
        token = begun.json["multipart_upload"]["session_token"]
        urls = "POST /api/2.0/fs/create-upload-part-urls"
        made = self.call(urls, path=path, session_token=token, start_part_number=1, count=1)
        self.put(made["upload_part_urls"][0]["url"].removeprefix(self.raw.server.url))
        return token

    def make_kept(self):
        """A table that the server keeps, with two rows that were replaced and a small file since."""
        name = f"{self.get('schema')}.{self.get('fresh')}"
        for batch, mode, rows in (("a", "append", "1\n2\n"), ("b", "overwrite", "3\n"), ("c", "append", "4\n")):
            self.rows(name, batch, f"id\n{rows}", mode=mode)
        return name

    def rows(self, name, batch, text, **more):
        query = urlencode({"create": "true", "format": "csv"} | more)
        self.put(f"/api/1.0/tables/{name}/batches/{batch}?{query}", text)

    def make_kept_pinned(self):
        self.call("POST /api/1.0/tables/{full_name}/pins", full_name="$kept$", version=3, reason="audit")
        return self.get("kept")

    def make_source(self):
        name = f"{self.get('schema')}.{self.get('fresh')}"
        self.rows(name, "a", "id,at\n1,2026-11-24T00:00:00Z\n2,2026-11-24T00:01:00Z\n", types="at:timestamp")
        return name

    def make_features_yaml(self):
        return (
            f"version: 1\nname: {self.get('schema')}.{self.get('fresh')}\nsource: {self.get('source')}\ntimestamp: at\n"
            "row_key: [id]\npane: 1m\nfeatures:\n- {name: n, aggregate: count, window: 1h}\n"
        )

    def make_features(self):
        name = re.search("name: (.*)", self.get("features_yaml"))[1]
        self.call("POST /api/1.0/feature-tables", yaml="$features_yaml$")
        return name

    def make_set(self):
        name = f"{self.get('schema')}.{self.get('fresh')}"
        begun = self.call("POST /api/1.0/training-sets", name=name, labels="$source$")
        done = self.call("GET /api/1.0/jobs/{job_id}", job_id=begun["job"]["job_id"], wait_seconds=30)
        assert done["state"] == "succeeded", done
        return name

    def make_watched(self):
        name = f"{self.get('schema')}.{self.get('fresh')}"
        rows = "at,x\n2024-11-24T00:00:00Z,1\n2024-11-24T00:30:00Z,2\n"
        self.rows(name, "a", rows, types="at:timestamp,x:double")
        return name

    def make_monitor_yaml(self):
        name = self.get("watched")
        return (
            f"version: 1\nwatch: {name}\nbaseline: {name}@1\nevent_time: at\nwindow: {{ length: 1h }}\n"
            "metrics: [psi, missing]\nthresholds: [{ metric: missing, below: 1 }]\nminimum_rows: 1\n"
        )

    def make_monitored(self):
        self.call("POST /api/1.0/monitors", yaml="$monitor_yaml$")
        return self.get("watched")

    def make_alert(self):
        name = self.get("monitored")
        job = self.call("POST /api/1.0/monitors/{full_name}/run", full_name=name)["job_id"]
        done = self.call("GET /api/1.0/jobs/{job_id}", job_id=job, wait_seconds=30)
        assert done["state"] == "succeeded", done
        return self.call("GET /api/1.0/alerts", monitor=name)["alerts"][0]["alert_id"]

    def make_endpoint(self):
        """An endpoint whose model cannot be loaded, since its version holds none."""
        name = self.get("fresh")
        self.call("POST /api/1.0/endpoints", name=name, model="$gov$@champion")
        return name

    def make_user(self):
        return self.call("POST /api/1.0/principals", name="$fresh$", kind="user")["name"]

    def make_group(self):
        return self.call("POST /api/1.0/principals", name="$fresh$", kind="group")["name"]

    def make_member(self):
        members = "POST /api/1.0/groups/{group}/members"
        self.call(members, group="$group$", member="$user$")
        return self.get("user")

    def make_webhook(self):
        events = [{"entity": "PROMPT", "action": "CREATED"}]
        made = self.call(f"POST {MLFLOW}/webhooks", name="h", url="https://127.0.0.1:9/", events=events)
        return made["webhook"]["webhook_id"]

    def make_label(self):
        return self.get("fresh")

    make_runner = make_label

    def make_command(self):
        name = f"{self.get('schema')}.{self.get('fresh')}"
        params = {"depth": {"type": "integer", "default": 8}}
        definition = {"argv": ["/bin/echo", "{depth}"], "label": "$label$", "params": params}
        self.call("POST /api/1.0/commands", name=name, definition=definition)
        return name

    def make_job(self):
        return self.call("POST /api/1.0/commands/{full_name}/run", full_name="$command$")["job_id"]

    def make_label_of_job(self):
        self.get("job")
        return self.get("label")

    def make_leased(self):
        job = self.get("job")
        lease = "POST /api/1.0/runner/lease"
        leased = self.call(lease, runner="$runner$", labels=["$label$"], lease_seconds=600)
        assert leased["job"]["job_id"] == job, leased
        return job


# The operations whose PUT takes JSON.
JSON_BY_PUT = {f"{UNITY}/models/{{full_name}}/aliases/{{alias}}", "/api/2.0/serving-endpoints/{name}/config"}
