"""Loads one model in a process of its own, for the Strongback server that started it.

`serve` answers scoring requests over a Unix socket: frames of a 32-bit big-endian length and that many bytes of JSON.
`convert` makes an ONNX form of a scikit-learn or XGBoost model, compares both on many rows, and writes what it found.
Unpickling and the model's own code happen here and nowhere in the server.
"""

import ctypes
import json
import math
import numbers
import os
import resource
import socket
import struct
import sys
from contextlib import suppress
from copy import copy, deepcopy
from io import StringIO
from pathlib import Path

FRAME_BYTES_MAX = 256 << 20
#: Rows on which a converted model is compared with the original, beside those of its input example.
GENERATED_ROWS = 1000
#: Largest difference of a probability; of another value it is relative to its size from 1 on.
TOLERANCE = 1e-5
#: Probabilities of two classes that are as near as this are a tie, of which the first class is the label: as in the original,
#: where they are equal, while sums of 32 bits are not.
TIE = 5e-6
DTYPES = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64"}


def limit():
    """What no model needs: dumps of its memory, endless files, thousands of open files."""
    for what, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 4 << 30), (resource.RLIMIT_NOFILE, 1024)):
        hard = resource.getrlimit(what)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (value, value))
    # prctl(PR_SET_PDEATHSIG, SIGKILL): whatever ends the guard ends this too.
    ctypes.CDLL(None).prctl(1, 9)


def describe(error):
    return f"{type(error).__name__}: {error}"[:2000]


# -- serving ------------------------------------------------------------------------------------------------------


def send(connection, text):
    data = text.encode()
    connection.sendall(struct.pack(">I", len(data)) + data)


def receive(connection):
    head = exactly(connection, 4)
    if head is None:
        return None
    (size,) = struct.unpack(">I", head)
    if size > FRAME_BYTES_MAX:
        raise ValueError(f"a frame of {size} bytes")
    body = exactly(connection, size)
    return None if body is None else json.loads(body)


def exactly(connection, size):
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


def serve(path, directory):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    try:
        import mlflow
        from mlflow.pyfunc import load_model

        os.environ["MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
        model = load_model(directory)
    except BaseException as error:
        send(connection, json.dumps({"failed": describe(error)}))
        return 1
    send(connection, json.dumps({"ready": {"python": sys.version.split()[0], "mlflow": mlflow.__version__}}))
    while (request := receive(connection)) is not None:
        send(connection, answer(model, request))
    return 0


def answer(model, request):
    from mlflow.exceptions import MlflowException

    try:
        if "body" in request:
            return answer_as_mlflow(model, request)
        frame = frame_of(request)
        params = request.get("params")
        predictions = model.predict(frame, params=params) if params is not None else model.predict(frame)
        values, labels = scores(model, frame, predictions)
        return f'{{"predictions": {as_json(predictions)}, "values": {clean(values)}, "labels": {clean(labels)}}}'
    except MlflowException as error:
        return json.dumps(
            {"refused": {"code": error.error_code, "status": error.get_http_status_code(), "message": error.message}}
        )
    except Exception as error:
        message = (
            "Encountered an unexpected error while evaluating the model. Verify that the input is compatible with the "
            f"model for inference. Error: {describe(error)}"
        )
        return json.dumps({"refused": {"code": "BAD_REQUEST", "status": 400, "message": message}})


def answer_as_mlflow(model, request):
    """A request whose rows only the model's own code understands, read by MLflow itself."""
    from mlflow.pyfunc import scoring_server

    schema = model.metadata.get_input_schema()
    found = scoring_server.invocations(request["body"], request["content_type"], model, schema)
    if found.status != 200:
        return json.dumps({"refused": {"code": "BAD_REQUEST", "status": found.status, "message": found.response}})
    whole = json.loads(found.response)
    is_wrapped = isinstance(whole, dict) and set(whole) == {"predictions"}
    predictions = whole["predictions"] if is_wrapped else whole
    values, labels = plain_scores(predictions if isinstance(predictions, list) else [predictions])
    reply = {"predictions": predictions, "is_bare": not is_wrapped, "values": values, "labels": labels}
    return clean(reply)


def frame_of(request):
    """The rows with the types of the signature. A missing value is what pandas has for the type."""
    import base64

    import numpy
    import pandas

    if request["form"] == "tensor":
        kind = numpy.dtype(request["dtype"])
        columns = [
            [math.nan if value is None else value for value in column["values"]] for column in request["columns"]
        ]
        return numpy.ascontiguousarray(numpy.array(columns).T.astype(kind))
    series = {}
    for at, column in enumerate(request["columns"]):
        name = column["name"] if request["form"] == "named" else at
        values, kind = column["values"], column["type"]
        has_missing = any(value is None for value in values)
        if kind in ("float", "double"):
            values = [math.nan if value is None else value for value in values]
            series[name] = pandas.Series(values, dtype=DTYPES[kind])
        elif kind == "datetime":
            series[name] = pandas.Series(pandas.to_datetime(values, unit="us"))
        elif kind == "binary":
            series[name] = pandas.Series([None if v is None else base64.b64decode(v) for v in values], dtype=object)
        elif kind == "string" or has_missing:
            series[name] = pandas.Series(values, dtype=object)
        else:
            series[name] = pandas.Series(values, dtype=DTYPES[kind])
    return pandas.DataFrame(series)


def as_json(predictions):
    from mlflow.pyfunc.scoring_server import predictions_to_json

    out = StringIO()
    predictions_to_json(predictions, out)
    return clean(json.loads(out.getvalue())["predictions"])


def clean(value):
    """JSON has no NaN."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(without_nan(value), allow_nan=False)


def without_nan(value):
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return value


def scores(model, frame, predictions):
    """One figure a row and, of a classifier, its label: the probability of the positive class, of the label where there
    are more than two, or the value of a regression."""
    estimator = raw_model(model)
    if hasattr(estimator, "predict_proba"):
        try:
            chances = estimator.predict_proba(frame)
            # A model may choose otherwise than by the highest probability: what it answered is its label.
            labels = answered_labels(predictions, estimator.classes_)
            if labels is None:
                labels = [str(estimator.classes_[at]) for at in chances.argmax(axis=1)]
            figures = chances[:, 1] if chances.shape[1] == 2 else chances.max(axis=1)
            return [float(figure) for figure in figures], labels
        except Exception as error:
            print(f"no probabilities: {describe(error)}", file=sys.stderr)
    return plain_scores(listed(predictions))


def answered_labels(predictions, classes):
    """The predictions as labels, where they are one class a row; else none."""
    rows, known = listed(predictions), {str(one) for one in classes}
    labels = [None if isinstance(row, (list, tuple, dict)) else str(row) for row in rows]
    return labels if all(label in known for label in labels) else None


def listed(predictions):
    if isinstance(predictions, dict):
        # One list a name is one value a row each.
        columns = [listed(one) for one in predictions.values() if isinstance(one, list) or hasattr(one, "tolist")]
        if columns and len(columns) == len(predictions) and len({len(one) for one in columns}) == 1:
            return [dict(zip(predictions, row, strict=True)) for row in zip(*columns, strict=True)]
        return [predictions]
    for method in ("values", "tolist"):
        if hasattr(predictions, method):
            found = getattr(predictions, method)
            return found.tolist() if method == "values" else found()
    return predictions if isinstance(predictions, list) else [predictions]


def plain_scores(rows):
    values, labels = [], []
    for row in rows:
        while isinstance(row, (list, tuple, dict)):
            parts = list(row.values()) if isinstance(row, dict) else list(row)
            row = parts[1] if len(parts) == 2 else parts[0] if parts else None
        is_number = isinstance(row, numbers.Real) and math.isfinite(row)
        values.append(float(row) if is_number else None)
        labels.append(row if isinstance(row, str) else None)
    return values, labels if all(label is not None for label in labels) and labels else None


def raw_model(model):
    try:
        return model.get_raw_model()
    except Exception:
        return None


# -- conversion ---------------------------------------------------------------------------------------------------


class NotConverted(Exception):
    """The model stays with Python; the text says why."""


#: What says nothing about the model: another day the package is there, and the memory.
PASSING = (ImportError, MemoryError, OSError)


def convert(directory, out, form, inputs):
    """Writes `report.json`, and `model.onnx` where the converted form gives the same answers."""
    report = {"verdict": "python", "tolerance": TOLERANCE, "versions": versions()}
    try:
        report.update(converted(directory, out, form, inputs))
        report["verdict"] = "onnx"
    except NotConverted as error:
        report["reason"] = str(error)[:1000]
        report.update(getattr(error, "figures", {}))
    except PASSING as error:
        report["reason"] = f"It cannot be converted here and now: {describe(error)}"[:1000]
        report["is_passing"] = True
    except Exception as error:
        report["reason"] = f"It cannot be converted: {describe(error)}"[:1000]
    Path(out, "report.json").write_text(clean(report))
    return 0


def versions():
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for name in ("mlflow", "scikit-learn", "xgboost", "skl2onnx", "onnxmltools", "onnx", "onnxruntime"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def converted(directory, out, form, inputs):
    from mlflow.pyfunc import load_model

    model = load_model(directory)
    estimator = raw_model(model)
    if estimator is None:
        raise NotConverted("MLflow gives no estimator of this flavor.")
    rows = Rows(model, estimator, inputs)
    rows.is_tensor = form == "tensor"
    expected = Expected(model, estimator, rows.given())
    problems = []
    for shape in ("matrix", "columns"):
        try:
            onnx = to_onnx(estimator, inputs, shape)
            figures = compare(onnx, shape, inputs, rows, expected)
            figures["missing"] = missing(model, estimator, onnx, shape, inputs, rows, figures["answer"])
        except PASSING:
            raise
        except Exception as error:
            problems.append(f"as {shape}: {describe(error)}")
            failed = getattr(error, "figures", {})
            continue
        figures["inputs"] = shape
        Path(out, "model.onnx").write_bytes(onnx.SerializeToString())
        return figures
    error = NotConverted("; ".join(problems))
    error.figures = failed
    raise error


def to_onnx(estimator, inputs, shape):
    kind = type(estimator).__module__.split(".")[0]
    numbers = all(one["type"] in DTYPES for one in inputs)
    if shape == "matrix" and not numbers:
        raise NotConverted("not all inputs are numbers")
    if kind == "xgboost":
        if shape != "matrix":
            raise NotConverted("a booster takes a matrix")
        return xgboost_to_onnx(estimator, len(inputs))
    if kind != "sklearn":
        raise NotConverted(f"there is no converter for {kind}")
    from skl2onnx import to_onnx as sklearn_to_onnx
    from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, Int64TensorType, StringTensorType

    if shape == "matrix":
        types = [("inputs", FloatTensorType([None, len(inputs)]))]
    else:
        of = {
            "boolean": BooleanTensorType,
            "string": StringTensorType,
            "integer": Int64TensorType,
            "long": Int64TensorType,
        }
        types = [(one["name"], of.get(one["type"], FloatTensorType)([None, 1])) for one in inputs]
    options = {}
    if hasattr(estimator, "predict_proba"):
        options = {id(estimator): {"zipmap": False}}
    return sklearn_to_onnx(estimator, initial_types=types, options=options)


def xgboost_to_onnx(estimator, width):
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    # The converter knows inputs by number alone.
    estimator = deepcopy(estimator)
    booster = estimator.get_booster() if hasattr(estimator, "get_booster") else estimator
    booster.feature_names = None
    booster.feature_types = None
    return convert_xgboost(estimator, initial_types=[("inputs", FloatTensorType([None, width]))])


class Rows:
    """Rows to compare on: the input example's, and generated ones over the domain that the model shows: the thresholds
    of its trees, its scaler's means, its encoder's categories, and the range of the example."""

    def __init__(self, model, estimator, inputs):
        import numpy
        import pandas

        self.random = numpy.random.default_rng(7)
        example = model.input_example if isinstance(model.input_example, pandas.DataFrame) else None
        names = [one["name"] for one in inputs]
        if example is not None and not set(names) <= {str(name) for name in example.columns}:
            example = None
        self.example_rows = 0 if example is None else len(example)
        known = domain(estimator, len(inputs))
        columns = {}
        for at, one in enumerate(inputs):
            seen = [] if example is None else example[one["name"]].tolist()
            columns[one["name"]] = self.column(one["type"], list(known[at]), seen)
        generated = pandas.DataFrame(columns)
        frame = generated if example is None else pandas.concat([example[names], generated], ignore_index=True)
        self.frame = frame.astype({one["name"]: DTYPES[one["type"]] for one in inputs if one["type"] in DTYPES})

    def given(self):
        """As the model's signature takes them."""
        return self.frame.to_numpy() if self.is_tensor else self.frame

    def column(self, kind, known, seen):
        n, random = GENERATED_ROWS, self.random
        if kind == "boolean":
            return random.random(n) < 0.5
        if kind not in DTYPES:
            words = [one for one in known + seen if isinstance(one, str)] + ["another"]
            return random.choice(words, n)
        points = [float(one) for one in known + seen if isinstance(one, (int, float)) and math.isfinite(one)]
        if len(points) < 2:
            points += [-10.0, 10.0]
        low, high = min(points), max(points)
        margin = (high - low) / 2 or 1.0
        wide = random.uniform(low - margin, high + margin, n)
        exact = random.choice(points, n)
        near = random.normal(points[len(points) // 2], margin / 2, n)
        which = random.integers(0, 3, n)
        values = wide * (which == 0) + exact * (which == 1) + near * (which == 2)
        if kind in ("integer", "long"):
            most = 2**31 - 1 if kind == "integer" else 2**53
            values = values.round().clip(-most, most)
        return values


def domain(estimator, width):
    """What the parts of a model know of each input, as far as they have as many inputs as the model."""
    found = [set() for _ in range(width)]
    for part in parts_of(estimator):
        tree = getattr(part, "tree_", None)
        if tree is not None and part.n_features_in_ == width:
            for at, threshold in zip(tree.feature, tree.threshold, strict=True):
                if at >= 0:
                    found[at].add(float(threshold))
        if (
            getattr(part, "mean_", None) is not None
            and getattr(part, "scale_", None) is not None
            and len(part.mean_) == width
        ):
            for at, (mean, scale) in enumerate(zip(part.mean_, part.scale_, strict=True)):
                found[at].update((mean - 4 * scale, float(mean), mean + 4 * scale))
    booster = estimator.get_booster() if hasattr(estimator, "get_booster") else estimator
    if hasattr(booster, "trees_to_dataframe"):
        names = booster.feature_names or [f"f{at}" for at in range(width)]
        splits = booster.trees_to_dataframe()
        for name, split in zip(splits["Feature"], splits["Split"], strict=True):
            if name in names and split is not None and math.isfinite(split):
                found[names.index(name)].add(float(split))
    for encoder, columns in encoders_of(estimator, width):
        for at, categories in zip(columns, encoder.categories_, strict=False):
            found[at].update(one for one in categories if isinstance(one, (str, int, float)))
    return found


def parts_of(estimator):
    yield estimator
    for _, step in getattr(estimator, "steps", None) or []:
        yield from parts_of(step)
    trees = getattr(estimator, "estimators_", None)
    if trees is not None:
        for tree in trees.ravel() if hasattr(trees, "ravel") else trees:
            if not isinstance(tree, (str, list, tuple)):
                yield from parts_of(tree)


def encoders_of(estimator, width):
    names = list(getattr(estimator, "feature_names_in_", []))
    for _, step in getattr(estimator, "steps", None) or []:
        for _, part, columns in getattr(step, "transformers_", []):
            inner = part.steps[-1][1] if hasattr(part, "steps") else part
            if hasattr(inner, "categories_"):
                places = [names.index(one) if one in names else one for one in columns]
                if all(isinstance(at, int) and at < width for at in places):
                    yield inner, places
        if hasattr(step, "categories_") and len(step.categories_) == width:
            yield step, range(width)


class Expected:
    """What the model answers by itself."""

    def __init__(self, model, estimator, frame):
        import numpy

        found = model.predict(frame)
        self.predictions = numpy.asarray(found)
        classes = getattr(estimator, "classes_", None)
        self.classes = classes if classes is not None and classes.dtype.kind in "iuUSO" else None
        self.chances = estimator.predict_proba(frame) if hasattr(estimator, "predict_proba") else None


def run(onnx, shape, inputs, frame):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx.SerializeToString(), options, providers=["CPUExecutionProvider"])
    if shape == "matrix":
        feed = {session.get_inputs()[0].name: frame.to_numpy(dtype=numpy.float32)}
    else:
        kinds = {"boolean": numpy.bool_, "string": object, "integer": numpy.int64, "long": numpy.int64}
        feed = {
            one["name"]: frame[one["name"]].to_numpy(dtype=kinds.get(one["type"], numpy.float32)).reshape(-1, 1)
            for one in inputs
        }
    wanted = {one.name for one in session.get_inputs()}
    return session.run(None, {name: value for name, value in feed.items() if name in wanted})


def candidates(outputs):
    """What an answer may be, by the outputs: one array a row each."""
    label = next((one for one in outputs if one.ndim == 1 or one.dtype.kind not in "f"), None)
    floats = [one for one in outputs if one.dtype.kind == "f" and one is not label]
    if label is not None and label.dtype.kind in "iOUS" and floats:
        chances = floats[0]
        yield "label", label.reshape(-1)
        yield "probabilities", chances
        if chances.ndim == 2 and chances.shape[1] == 2:
            yield "positive", chances[:, 1]
    elif len(outputs) == 1 and outputs[0].dtype.kind == "f":
        yield "value", outputs[0].reshape(-1)


def compare(onnx, shape, inputs, rows, expected):
    import numpy

    outputs = run(onnx, shape, inputs, rows.frame)
    frame_rows = len(rows.frame)
    problems = []
    for answer, got in candidates(outputs):
        wanted = expected.predictions
        if answer != "probabilities" and wanted.ndim == 2 and wanted.shape[1] == 1:
            continue
        is_text = wanted.dtype.kind in "OUS"
        is_label = answer == "label"
        if wanted.shape != got.shape or (is_label and wanted.dtype.kind not in "iuOUS") or (not is_label and is_text):
            continue
        if is_label and is_text != (got.dtype.kind in "OUS"):
            continue
        figures = {"rows": frame_rows, "example_rows": rows.example_rows, "answer": answer}
        if is_label:
            chances = next(one for name, one in candidates(outputs) if name == "probabilities")
            figures["labels_that_differ"] = int((wanted.astype(str) != got.astype(str)).sum())
            if figures["labels_that_differ"] and expected.classes is not None:
                first = (chances >= chances.max(axis=1, keepdims=True) - TIE).argmax(axis=1)
                got = expected.classes[first]
                figures["labels_that_differ"] = int((wanted.astype(str) != got.astype(str)).sum())
                figures["tie"], figures["classes"] = TIE, expected.classes.tolist()
            wanted, got = expected.chances, chances
        else:
            figures["labels_that_differ"] = 0
        if wanted is None or wanted.shape != got.shape:
            continue
        wanted, got = numpy.asarray(wanted, dtype=float), numpy.asarray(got, dtype=float)
        difference = numpy.abs(wanted - got)
        scale = numpy.maximum(1.0, numpy.abs(wanted)) if answer == "value" else 1.0
        figures["max_abs_diff"] = float(numpy.nan_to_num(difference, nan=math.inf).max())
        is_same = bool((difference <= TOLERANCE * scale).all())
        if is_same and figures["labels_that_differ"] == 0:
            return figures
        error = NotConverted(
            f"the answers differ on {frame_rows} rows: by {figures['max_abs_diff']:.3g} at most, and in "
            f"{figures['labels_that_differ']} labels"
        )
        error.figures = figures
        problems.append(error)
    raise problems[0] if problems else NotConverted("its answers have another form than those of the converted model")


def missing(model, estimator, onnx, shape, inputs, rows, answer):
    """What the model makes of missing values: `refused`; `equal` in both forms; `optional`, if equal where the signature allows
    them; or `never` equal, and not allowed. Also an input that is required may come without one, from a look-up that finds none."""
    optional = [one for one in inputs if not one["required"]]
    if any(one["type"] not in ("float", "double") for one in optional):
        raise NotConverted("a value that is no floating-point number may be missing")
    if optional:
        found = with_holes(model, estimator, onnx, shape, inputs, rows, answer, optional)
        if found is None:
            return "refused"
        if isinstance(found, NotConverted):
            raise found
    floats = [one for one in inputs if one["type"] in ("float", "double")]
    if floats and len(floats) > len(optional):
        found = with_holes(model, estimator, onnx, shape, inputs, rows, answer, floats)
        if found is not True:
            return "optional" if optional else "refused" if found is None else "never"
    return "equal" if floats else "never"


def with_holes(model, estimator, onnx, shape, inputs, rows, answer, columns):
    """Whether both forms answer alike where values of these columns are missing: `True`, `None` where the original refuses them,
    or how they differ."""
    import numpy

    holed = copy(rows)
    holed.frame = rows.frame.copy()
    for one in columns:
        holed.frame.loc[rows.random.random(len(holed.frame)) < 0.3, one["name"]] = numpy.nan
    try:
        expected = Expected(model, estimator, holed.given())
    except PASSING:
        raise
    except Exception:
        return None
    try:
        if compare(onnx, shape, inputs, holed, expected)["answer"] == answer:
            return True
        return NotConverted("missing values change the form of its answers")
    except PASSING:
        raise
    except Exception as error:
        return error if isinstance(error, NotConverted) else NotConverted(describe(error))


def main():
    limit()
    mode, *arguments = sys.argv[1:]
    if mode == "serve":
        return serve(*arguments)
    if mode == "convert":
        directory, out, form, inputs = arguments
        return convert(directory, out, form, json.loads(inputs))
    raise SystemExit(f"unknown mode {mode!r}")


if __name__ == "__main__":
    sys.exit(main())
