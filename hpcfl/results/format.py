"""The columns and names of the result file; docs/result-file.md says what they promise to readers."""

from typing import NamedTuple

import h5py

FORMAT = "hpcfl"
VERSION = "1.5"

# The codes of /events/status. A new kind of ending gets a new number, never an old one.
STATUS = {"ok": 0, "failed": 1, "straggler": 2, "dropped": 3, "corrupted": 4}
COMBINED = ("ok", "corrupted")
"""Those of updates that were combined."""

REASON_BYTES = 256
TEXT_BYTES = 256


class Column(NamedTuple):
    """One column of a table: its dtype in the file, its unit ("" for a pure number) and what it counts."""

    name: str
    dtype: object
    unit: str
    meaning: str


ROUNDS = (
    Column("step", "<i8", "", "the server's step"),
    Column("time", "<f8", "s", "the job's clock when the step ended"),
    Column("wall", "<f8", "s", "real time since the run started"),
    Column("accuracy", "<f8", "", "share of the test set predicted correctly; NaN where not evaluated"),
    Column("loss", "<f8", "", "mean loss on the test set; NaN where not evaluated"),
    Column("client_accuracy", "<f8", "", "accuracy of the clients' own models on all held-out samples, or NaN"),
    Column("client_accuracy_low", "<f8", "", "accuracy that nine of ten clients' own models reach, or NaN"),
    Column("unseen_accuracy", "<f8", "", "accuracy of clients that never train (client.test_clients), or NaN"),
    Column("client_loss", "<f8", "", "mean loss of the clients' own models on all held-out samples, or NaN"),
    Column("train_loss", "<f8", "", "mean loss of the clients' local training, weighted by examples"),
    Column("examples", "<i8", "", "training examples behind the updates that were combined"),
    Column("clients", "<i8", "", "updates that arrived and were combined"),
    Column("failures", "<i8", "", "updates that were expected and could not be used"),
    Column("epsilon", "<f8", "", "privacy spent so far, at privacy.delta; NaN without privacy"),
    Column("staleness", "<f8", "", "mean number of steps between an update's model and the one it met"),
    Column("bytes_up", "<i8", "B", "what the ranks sent to rank 0, or to one another"),
    Column("bytes_down", "<i8", "B", "what rank 0 sent to the ranks"),
    Column("client_bytes_up", "<i8", "B", "what the simulated clients would have sent"),
    Column("client_bytes_down", "<i8", "B", "what the simulated clients would have received"),
    Column("training", "<f8", "s", "real time spent training clients"),
    Column("communicating", "<f8", "s", "real time spent between ranks"),
    Column("aggregating", "<f8", "s", "real time spent combining updates"),
    Column("evaluating", "<f8", "s", "real time spent evaluating the model"),
)

EVENTS = (
    Column("step", "<i4", "", "the server's step that the update belongs to"),
    Column("client", "<i4", "", "the client"),
    Column("version", "<i4", "", "the step whose model the client started from"),
    Column("start", "<f8", "s", "the job's clock when the client started"),
    Column("finish", "<f8", "s", "the job's clock when the client finished"),
    Column("rank", "<i4", "", "the rank that trained the client; -1 for none"),
    Column("examples", "<i4", "", "the client's training examples"),
    Column("steps", "<i4", "", "optimizer steps that the client took"),
    Column("loss", "<f8", "", "the client's mean training loss"),
    Column("status", h5py.enum_dtype(STATUS, basetype="u1"), "", "how the update ended"),
)

FAILURES = (
    Column("step", "<i4", "", "the server's step that the update belongs to"),
    Column("client", "<i4", "", "the client"),
    Column("rank", "<i4", "", "the rank that trained the client; -1 for none"),
    Column("reason", h5py.string_dtype("utf-8", REASON_BYTES), "", "what went wrong, in words"),
)

# /clients is written once and has the columns that the run knows.
CLIENTS = {
    "examples": Column("examples", "<i8", "", "training examples of the client"),
    "classes": Column("classes", "<i8", "", "training examples of the client with each label"),
    "delay": Column("delay", "<f8", "s", "the delay that the job gives to the client's updates"),
    "held_out": Column("held_out", "<i8", "", "samples that the client keeps back to evaluate its own model"),
    "unseen": Column("unseen", "<i8", "", "1 for a client that never trains (client.test_clients), else 0"),
    "byzantine": Column("byzantine", "<i8", "", "1 for a client that lies on purpose (faults.byzantine), else 0"),
    "architecture": Column("architecture", None, "", "the model that the client trains"),
}

# What /clients/own has for each evaluation: a row, with a number per client.
OWN = {
    "loss": Column("loss", "<f8", "", "mean loss of the client's own model on its held-out samples; NaN without any"),
    "accuracy": Column("accuracy", "<f8", "", "share of its held-out samples predicted correctly; NaN without any"),
    "test_loss": Column("test_loss", "<f8", "", "mean loss of the client's own model on the test set"),
    "test_accuracy": Column("test_accuracy", "<f8", "", "share of the test set that it predicts correctly"),
}

# What /sharing has for each tensor that some architectures have in common.
SHARING = (
    Column("tensor", None, "", "the tensor's name"),
    Column("shape", None, "", "its shape, as 64x3x3x3"),
    Column("numbers", "<i8", "", "its numbers"),
    Column("averaged", "<u1", "", "1: the clients of these architectures average it; 0: it stays at home with each"),
    Column("architectures", "<u1", "", "1 for each architecture that has it in common with the others of the row"),
)

# What a strategy with Flower's methods, and its clients, say of a step: as many rows as they like.
METRICS = (
    Column("step", "<i4", "", "the server's step"),
    Column(
        "method", h5py.string_dtype("utf-8", 24), "", "the strategy's method, or the client's: fit, client_evaluate"
    ),
    Column("client", "<i4", "", "the client that said it; -1 for the server"),
    Column("name", h5py.string_dtype("utf-8", 64), "", "what was measured"),
    Column("value", "<f8", "", "its value; NaN for text"),
    Column("text", h5py.string_dtype("utf-8", TEXT_BYTES), "", "its value where that is text; bytes in base64"),
)

PARTITION = Column("client", "<i4", "", "the client that holds the training sample; -1 for none")

# The order of the counts in the root attribute `committed`.
TABLES = {"rounds": ROUNDS, "events": EVENTS, "failures": FAILURES}

# How a viewer finds its way: it draws NXdata groups and lists NXcollection groups.
NEXUS = {
    "job": {"NX_class": "NXcollection"},
    "environment": {"NX_class": "NXcollection"},
    "clients": {"NX_class": "NXdata", "signal": "examples", "axes": ["client"]},
    "partition": {"NX_class": "NXcollection"},
    "rounds": {"NX_class": "NXdata", "signal": "accuracy", "auxiliary_signals": ["loss"], "axes": ["step"]},
    "events": {"NX_class": "NXcollection"},
    "failures": {"NX_class": "NXcollection"},
    "model": {"NX_class": "NXcollection"},
}
