"""A back-end engineer: enrichment over HTTP, 64 calls in flight per worker, polite to the far side."""
from typing import reveal_type

import httpx
import msgspec

import penstock as ps
from penstock.connectors import files


class Order(msgspec.Struct):
    id: str
    sku: str
    n: int

class Priced(msgspec.Struct):
    id: str
    total: float

class Price:
    def __init__(self, base: str) -> None:
        self.base = base

    async def open(self, context: ps.Context) -> None:
        self.context = context
        self.http = httpx.AsyncClient(base_url=self.base)

    async def __call__(self, order: Order) -> Priced:
        answer = await self.http.post("/price", json={"sku": order.sku},
                                      headers={"Idempotency-Key": self.context.idempotency_key})
        if answer.status_code == 429:
            raise ps.Retry("rate limited", after=f"{answer.headers['Retry-After']}s")
        answer.raise_for_status()
        return Priced(order.id, order.n * answer.json()["price"])

    async def close(self) -> None:
        await self.http.aclose()

app = ps.Pipeline("pricing")
priced = (
    app.source(files.json_lines("orders/*.jsonl", Order))
    .stage("price", workers=2, concurrency=64, timeout="5s",
           retries=5, retry_delay="200ms", retry_on=(httpx.TransportError, httpx.HTTPStatusError))
    .map(Price("https://prices.internal"))
)
priced.sink(files.json_lines("priced/"))
reveal_type(priced)  # Stream[Priced]

if __name__ == "__main__":
    app.run()
