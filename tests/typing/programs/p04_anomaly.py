"""A data scientist: one model file, loaded once per worker; a threshold given from outside."""
import pickle
from typing import Any, reveal_type

import msgspec

import penstock as ps
from penstock.connectors import files


class Reading(msgspec.Struct):
    sensor: str
    ts: float
    value: float

class Scored(msgspec.Struct):
    sensor: str
    ts: float
    score: float

class Score:
    def __init__(self, model: str, *, floor: float = 0.0) -> None:  # here: only settings, they travel to the workers
        self.model, self.floor = model, floor

    def open(self, context: ps.Context) -> None:  # in the worker: what is heavy
        with open(self.model, "rb") as file:
            self.forest: Any = pickle.load(file)

    def __call__(self, rows: list[Reading]) -> list[Scored]:
        scores = self.forest.score_samples([[r.value] for r in rows])
        return [Scored(r.sensor, r.ts, max(float(s), self.floor)) for r, s in zip(rows, scores, strict=True)]

app = ps.Pipeline("anomalies")
scored = (
    app.source(files.csv("sensors/*.csv", Reading), name="readings", workers=2)
    .stage("score", workers=4, edge=ps.Edge(batch_rows=1024)).key_by("sensor").map_many(Score("forest.pkl", floor=-1.0))
)
scored.filter(lambda s: s.score > 0.8).sink(files.parquet("alarms/", if_exists="overwrite"))
reveal_type(scored)  # Stream[Scored]

if __name__ == "__main__":
    app.run(settings={"score.workers": 8})
