"""A web developer: a folder of photos, CPU-heavy, files out; a corrupt photo may crash the image library."""
import io
from glob import glob
from pathlib import Path
from typing import reveal_type

from PIL import Image

import penstock as ps

OUT = Path("thumbs")

def thumbnail(path: str) -> tuple[str, bytes]:
    image = Image.open(path)
    image.thumbnail((256, 256))
    target = io.BytesIO()
    image.save(target, "JPEG")
    return Path(path).name, target.getvalue()

def save(item: tuple[str, bytes]) -> None:
    name, data = item
    (OUT / name).write_bytes(data)           # a re-run overwrites: harmless

app = ps.Pipeline("thumbnails")
thumbs = (
    app.source(sorted(glob("photos/**/*.jpg", recursive=True)), name="paths")
    .stage("shrink", workers=8, timeout="30s", on_error=ps.dead_letter()).map(thumbnail)
)
thumbs.sink(save, workers=2, edge=ps.Edge(memory="64 MiB"))
reveal_type(thumbs)  # Stream[tuple[str, bytes]]

if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    report = app.run()
    print(f"{report.stages['shrink'].rows_out} made, {report.dead_letters} bad photos")
