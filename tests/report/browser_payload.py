"""Payloads of made-up pools for the tests of the page, and the naive truth about them.

Nothing here comes from the modules that make real payloads: a pool is arrays, its rules are a tree
of tests, and what moved sliders keep is decided sample by sample.
"""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

from curate.config import Rules
from curate.numerics.cells import Column, edge_of
from curate.numerics.keys import DROP_ALL, KEEP_ALL, UID, Cut
from curate.numerics.selection import AllOf, AnyOf, Node, Test, decide, rank_of, tests_of
from curate.pool_quantiles import PoolQuantile
from curate.rules import build, pool_quantiles

LABELS = {
    "image_informativeness": ("image informativeness", "nats"),
    "text_informativeness": ("text informativeness", "nats"),
    "clip_score": ("CLIP score", ""),
    "width": ("width", "pixels"),
}
HOSTILE = [
    "</script><script>window.HACKED = 1</script><!--",
    '<img src=x onerror="window.HACKED = 1"> & <b>bold</b>',
    "صورة لقطة نائمة على الأريكة ‮ then reversed",
    "W" * 600,
    "line\u2028separator\u2029 and \x00 control \x1b[31m",
    "",
    "javascript:window.HACKED=1 ${window.HACKED=1} {{window.HACKED=1}}",
    "a\n\n\nb\t\tc" * 30,
]


@dataclass(frozen=True)
class Pool:
    """Rows that rules decide: columns [n], NaN where missing, and UID [n]."""

    columns: dict[str, npt.NDArray[Any]]
    uids: npt.NDArray[np.void]

    def __len__(self) -> int:
        return len(self.uids)

    @cached_property
    def _orders(self) -> dict[str, npt.NDArray[np.int64]]:
        return {}

    def ascending(self, column: str) -> npt.NDArray[np.int64]:
        """Rows by (value, uid)."""
        if column not in self._orders:
            keys = (self.uids["f1"], self.uids["f0"], self.ranked(column))
            self._orders[column] = np.lexsort(keys)
        return self._orders[column]

    def ranked(self, column: str) -> npt.NDArray[Any]:
        """Values with -inf for missing ones."""
        values = self.columns[column]
        return np.where(np.isnan(values), -np.inf, values).astype(values.dtype)

    def cut_at(self, column: str, rank: int) -> Cut:
        """The cut that has `rank` rows below it."""
        if rank == 0:
            return KEEP_ALL
        if rank == len(self):
            return DROP_ALL
        order, values = self.ascending(column), self.ranked(column)
        here, before = values[order[rank]], values[order[rank - 1]]
        if before < here:
            return Cut(float(here))
        uid = self.uids[order[rank]]
        return Cut(float(here), (int(uid["f0"]), int(uid["f1"])))

    def below(self, column: str, edge: Cut) -> int:
        """Rows below a cut, counted one by one."""
        values = self.ranked(column)
        lower = values < edge.value
        if edge.uid != (0, 0):
            f0, f1 = self.uids["f0"], self.uids["f1"]
            smaller = (f0 < edge.uid[0]) | ((f0 == edge.uid[0]) & (f1 < edge.uid[1]))
            lower |= (values == edge.value) & smaller
        return int(lower.sum())


def make_pool(seed: int, n: int) -> Pool:
    """Three scores, of which one has ties, and a width that is missing here and there."""
    random = np.random.default_rng(seed)
    image = random.gamma(2.0, 0.03, n).astype(np.float32)
    placeholders = random.random(n) < 0.06
    image[placeholders] = np.round(image[placeholders] * 0.1, 3)
    text = (0.6 * image + random.gamma(3.0, 0.02, n)).astype(np.float32)
    clip = np.round(random.normal(0.24, 0.05, n) + image * 0.2, 2).astype(np.float32)
    width = random.choice([64, 128, 200, 256, 512, 1024], n).astype(np.float64)
    width[random.random(n) < 0.03] = np.nan
    uids = np.zeros(n, dtype=UID)
    uids["f0"] = random.integers(0, 1 << 63, n, dtype=np.uint64)
    uids["f1"] = np.arange(n)
    columns = {
        "image_informativeness": image,
        "text_informativeness": text,
        "clip_score": clip,
        "width": width,
    }
    return Pool(columns, uids)


def random_rules(seed: int, pool: Pool) -> dict[str, Any]:
    """A rule tree as YAML has it: groups in groups, every criterion, several on one column."""
    random = np.random.default_rng(seed)

    def leaf() -> dict[str, Any]:
        column = str(random.choice(list(pool.columns)))
        values = pool.columns[column]
        at = float(np.nanquantile(values, random.uniform(0.05, 0.6)))
        kinds: list[dict[str, Any]] = [
            {"drop_lowest": round(float(random.uniform(0, 0.4)), 3)},
            {"keep_highest": round(float(random.uniform(0.5, 1)), 3)},
            {"min": at},
            {"max": float(np.nanquantile(values, random.uniform(0.6, 0.99)))},
            {"min": at / 2, "drop_lowest": 0.1},
        ]
        return {column: kinds[int(random.integers(len(kinds)))]}

    def group(kind: str, depth: int) -> dict[str, Any]:
        inner = "any" if kind == "all" else "all"
        items = [leaf() for _ in range(int(random.integers(1, 4)))]
        if depth:
            at = int(random.integers(len(items) + 1))
            items.insert(at, group(inner, depth - 1))
        return {kind: items}

    return group("all" if random.random() < 0.7 else "any", int(random.integers(0, 3)))


def tree_of(pool: Pool, rules: Rules) -> Node:
    """Rules with the cuts that their fractions mean in this pool, found by sorting."""
    cuts: dict[PoolQuantile, Cut] = {}
    for quantile in pool_quantiles(rules):
        rank = rank_of(len(pool), quantile.fraction, quantile.rule)
        cuts[quantile] = pool.cut_at(quantile.column, rank)
    return build(rules, cuts, None)


def truth(pool: Pool, rules: Rules) -> dict[str, int]:
    """Reason -> samples, `kept` among them; reasons without samples are left out."""
    decision = decide(tree_of(pool, rules), pool.columns, pool.uids)
    return {reason: n for reason, n in decision.counts().items() if n}


def leb128(numbers: npt.NDArray[np.int64]) -> str:
    """Base64 of unsigned LEB128, number by number."""
    out = bytearray()
    for number in numbers.tolist():
        while number >= 128:
            out.append(number & 127 | 128)
            number >>= 7
        out.append(number)
    return base64.b64encode(bytes(out)).decode()


SHARES = sorted({s for k in range(1, 20) for s in (k / 20, 0.001 * k, 1 - 0.001 * k)})


@dataclass(frozen=True)
class Explored:
    """The explorer's part of a payload, and its cells."""

    explorer: dict[str, Any]
    cells: dict[str, Any]
    digits: npt.NDArray[np.int64]  # [columns, n]


def explore(pool: Pool, rules: dict[str, Any], shares: list[float] = SHARES) -> Explored:
    """Edges, tests, the tree and the cells of a pool under rules."""
    tree = tree_of(pool, Rules.model_validate(rules))
    tests = list(tests_of(tree))
    names = sorted({test.column for test in tests} | set(list(LABELS)[:3]))
    columns = [_column(pool, name, tests, shares) for name in names]
    ids = {id(test): i for i, test in enumerate(tests)}
    documents = [_test(i, test, names, columns) for i, test in enumerate(tests)]
    root = _tree(tree, ids)
    extra = [name for name in list(LABELS)[:3] if all(test.column != name for test in tests)]
    if extra and "any" in root:
        root = {"all": [root]}
    for name in extra:
        at = len(documents)
        root["all"].append({"test": at})
        label = f"{name}.drop_lowest=0"
        documents.append(
            {"id": at, "column": names.index(name), "keep": "at_least", "edge": -1, "label": label}
            | {"reason": label, "criterion": "drop_lowest", "of": "pool", "active": False}
            | {"criteria": {}}
        )
    digits = np.stack(
        [c.digit(pool.columns[c.name], lambda rows: pool.uids[rows]) for c in columns]
    )
    code = np.zeros(len(pool), dtype=np.int64)
    for column, digit in zip(columns, digits, strict=True):
        code = code * column.digits + digit
    codes, counts = np.unique(code, return_counts=True)
    kept = decide(tree, pool.columns, pool.uids).kept
    explorer = {
        "columns": [_edges(pool, column) for column in columns],
        "tests": documents,
        "rules": root,
        "undecided": {"duplicate_uid": 0, "rejected": 7},
        "kept": int(kept.sum()),
    }
    cells = {
        "n": len(codes),
        "encoding": "leb128",
        "codes": leb128(np.diff(codes, prepend=0)),
        "counts": leb128(counts),
    }
    return Explored(explorer, cells, digits)


def _column(pool: Pool, name: str, tests: list[Test], shares: list[float]) -> Column:
    precision = pool.columns[name].dtype
    cuts = {pool.cut_at(name, round(share * len(pool))) for share in shares}
    cuts |= {edge_of(test, precision) for test in tests if test.column == name}
    real = [cut for cut in cuts if cut not in (KEEP_ALL, DROP_ALL)]
    return Column(name, precision, tuple(sorted(real, key=lambda cut: (cut.value, cut.uid))))


def _edges(pool: Pool, column: Column) -> dict[str, Any]:
    edges = []
    values = pool.ranked(column.name)
    for edge in column.edges:
        below = pool.below(column.name, edge)
        splits = below > int((values < edge.value).sum())
        value = edge.value if np.isfinite(edge.value) else None
        share = below / len(pool)
        edges.append({"value": value, "below": below, "share": share, "splits": splits})
    return {
        "name": column.name,
        "precision": column.precision.name,
        "intervals": column.intervals,
        "edges": edges,
        "missing": int(np.isnan(pool.columns[column.name]).sum()),
    }


def _test(at: int, test: Test, names: list[str], columns: list[Column]) -> dict[str, Any]:
    column = columns[names.index(test.column)]
    edge = edge_of(test, column.precision)
    if edge in column.edges:
        position = column.edges.index(edge)
    else:  # keeps all, or none
        position = -1 if edge.value < 0 else len(column.edges)
    criterion, value = test.name.removeprefix(f"{test.column}.").split("=")
    return {
        "id": at,
        "column": names.index(test.column),
        "keep": test.keep,
        "edge": position,
        "label": test.name,
        "reason": test.name,
        "criterion": criterion,
        "of": "pool",
        "active": True,
        "criteria": {criterion: float(value)},
    }


def _tree(node: Node, ids: dict[int, int]) -> dict[str, Any]:
    if isinstance(node, Test):
        return {"test": ids[id(node)]}
    kind = "all" if isinstance(node, AllOf) else "any"
    assert isinstance(node, AllOf | AnyOf)
    return {kind: [_tree(child, ids) for child in node.tests]}


# --- the rest of a payload --------------------------------------------------------------------


def thumbnails(folder: Any, n: int) -> None:
    """A few pictures, as `thumbs/0.webp` and so on."""
    (folder / "thumbs").mkdir(parents=True, exist_ok=True)
    for i in range(n):
        colour = (37 * i % 256, 91 * i % 256, 151 * i % 256)
        Image.linear_gradient("L").resize((192, 96 + 8 * (i % 12))).convert("RGB").point(
            [min(255, (v + colour[band]) // 2) for band in range(3) for v in range(256)]
        ).save(folder / "thumbs" / f"{i}.webp")


def make_payload(
    seed: int = 0,
    n: int = 4000,
    *,
    rules: dict[str, Any] | None = None,
    shards: int = 300,
    subsets: int = 12,
    pictures: int = 24,
    shares: list[float] = SHARES,
) -> tuple[dict[str, Any], dict[str, Any], Pool]:
    """A whole payload, its cells, and the pool it is of."""
    pool = make_pool(seed, n)
    chosen = rules or {
        "all": [
            {"image_informativeness": {"drop_lowest": 0.05}},
            {"text_informativeness": {"drop_lowest": 0.05}},
            {"any": [{"clip_score": {"min": 0.2}}, {"width": {"min": 512}}]},
        ]
    }
    explored = explore(pool, chosen, shares)
    decision = decide(tree_of(pool, Rules.model_validate(chosen)), pool.columns, pool.uids)
    gallery = _Samples(pool, explored, decision.labels(), pictures)
    explorable = [column["name"] for column in explored.explorer["columns"]]
    near = {name: gallery.near(i) for i, name in enumerate(explorable)}
    galleries = gallery.galleries()
    reasons = Counter(decision.labels())
    written = yaml.safe_dump({"rules": chosen}, sort_keys=False)
    empty = {"reason": "empty_caption", "meaning": "the caption is empty", "count": 7}
    payload = {
        "format": 1,
        "run": _run(shards),
        "subset": {"name": "default", "rules_yaml": written},
        "warnings": ["shard 00042: drop rate 40 % against 5 % elsewhere", HOSTILE[0]],
        "accounts": {
            "read": n + 7,
            "kept": int(reasons.pop("kept", 0)),
            "dropped": [{"reason": r, "rule": 0, "count": c} for r, c in reasons.items()],
            "rejected": [empty],
            "balances": True,
        },
        "columns": [_described(pool, name, decision.kept, explored) for name in pool.columns],
        "explorer": explored.explorer,
        "samples": gallery.samples,
        "galleries": galleries,
        "near": near,
        "joint": [
            _joint(pool, x, y, decision.kept)
            for x, y in [
                ("image_informativeness", "text_informativeness"),
                ("image_informativeness", "clip_score"),
                ("text_informativeness", "clip_score"),
            ]
        ],
        "correlations": _correlations(pool),
        "sweep": _sweep(subsets, n) if subsets else None,
        "shards": _shards(shards, n),
    }
    return payload, explored.cells, pool


class _Samples:
    def __init__(self, pool: Pool, explored: Explored, labels: list[str], pictures: int) -> None:
        self._pool, self._explored, self._labels, self._pictures = pool, explored, labels, pictures
        self._at: dict[int, int] = {}
        self.samples: list[dict[str, Any]] = []

    def of(self, row: int) -> int:
        if row not in self._at:
            at = self._at[row] = len(self.samples)
            values = {k: _number(v[row]) for k, v in self._pool.columns.items()}
            shares = {
                name: float((self._pool.ranked(name) < self._pool.ranked(name)[row]).mean())
                for name in self._pool.columns
            }
            sample = {
                "id": at,
                "shard": f"{row % 100:05d}",
                "key": f"{row:09d}",
                "uid": f"{row:032x}",
                "caption": HOSTILE[at] if at < len(HOSTILE) else f"a photograph of object {row}",
                "caption_cut": at == 3,
                "status": "ok",
                "reason": self._labels[row],
                "error": None,
                "values": values,
                "percentiles": shares,
                "digits": self._explored.digits[:, row].tolist(),
                "thumb": f"thumbs/{at % self._pictures}.webp" if self._pictures else None,
                "thumb_note": None if self._pictures else "pictures were not asked for",
                "thumb_alt": None,
                "look": f"look{at % 500}",
            }
            self.samples.append(sample)
        return self._at[row]

    def near(self, column: int) -> list[list[int]]:
        described = self._explored.explorer["columns"][column]
        order = self._pool.ascending(described["name"])
        digits = self._explored.digits[column][order] % described["intervals"]
        found = []
        for interval in range(described["intervals"]):
            rows = order[digits == interval]
            picked = [*rows[:4], *rows[4:][-4:]]
            found.append([self.of(int(row)) for row in picked])
        return found

    def galleries(self) -> list[dict[str, Any]]:
        order = self._pool.ascending("image_informativeness")
        n = len(order)
        dropped = [i for i, label in enumerate(self._labels) if label != "kept"][:30]
        rejected = self.of(int(order[n // 2]))
        self.samples[rejected] |= {
            "status": "empty_caption", "reason": "empty_caption", "digits": None, "caption": None,
            "values": {"width": 10.0}, "thumb": None, "thumb_note": "the picture cannot be read",
            "error": "no text: </script>",
        }  # fmt: skip
        sets: list[tuple[str, str, str | None, Any]] = [
            ("Lowest", "Lowest image informativeness", "image_informativeness", order[:40]),
            ("Lowest", "Lowest CLIP score", "clip_score", self._pool.ascending("clip_score")[:40]),
            ("Highest", "Highest image informativeness", "image_informativeness", order[-40:]),
            ("Random", "Random samples", None, order[:: max(1, n // 30)]),
            ("Dropped", "Dropped", None, dropped),
            ("Rejected", "empty_caption", None, [order[n // 2]]),
        ]
        return [
            {
                "id": f"{group}:{title}", "group": group, "title": title, "column": column,
                "about": "Ascending.", "total": n,
                "entries": [{"sample": self.of(int(row)), "copies": 1 + 16 * (i == 1)}
                            for i, row in enumerate(rows)],
            }
            for group, title, column, rows in sets
        ]  # fmt: skip


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _run(shards: int) -> dict[str, Any]:
    return {
        "name": "first",
        "directory": "runs/it's first",
        "version": "0.1.0",
        "model": {"name": "ViT-B-32", "pretrained": "laion2b_s34b_b79k", "fingerprint": "ab" * 32}
        | {"width": 512, "link": "softmax", "precision": "fp32"},
        "reference": {"samples": 10000, "prior": "model", "covariance": "corrected"}
        | {"temperature": {"scale": 1, "bias": 0}, "sha256": "cd" * 32},
        "pool": {"kind": "shards", "places": ["data/{00000..00099}.tar"], "shards": shards}
        | {"unreadable": {"00042": "the tar ends in the middle of a header"}},
        "config_yaml": "input:\n  shards: data\n",
    }


def _described(pool: Pool, name: str, kept: Any, explored: Explored) -> dict[str, Any]:
    values = pool.columns[name]
    present = ~np.isnan(values)
    label, unit = LABELS[name]
    low, high = float(values[present].min()), float(values[present].max())
    p = [0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1]

    def histogram(edges: npt.NDArray[Any]) -> dict[str, Any]:
        count = lambda rows: np.histogram(values[rows & present], edges)[0].tolist()  # noqa: E731
        everything = np.ones(len(pool), dtype=bool)
        half = np.arange(len(pool)) % 2 == 0
        return {"edges": edges.tolist(), "pool": count(everything), "kept": count(kept)} | {
            "reference": count(half) if unit == "nats" else None
        }

    columns = explored.explorer["columns"]
    thresholds = [
        {"test": test["id"], "value": columns[test["column"]]["edges"][test["edge"]]["value"],
         "side": "min", "label": test["label"].split(".", 1)[1]}
        for test in explored.explorer["tests"]
        if columns[test["column"]]["name"] == name and test["active"]
        and 0 <= test["edge"] < len(columns[test["column"]]["edges"])
    ]  # fmt: skip
    return {
        "name": name, "label": label, "unit": unit, "meaning": f"What {label} means, in a line.",
        "kind": "metadata" if name == "width" else "score",
        "count": int(present.sum()), "missing": int((~present).sum()),
        "min": low, "max": high, "mean": float(values[present].mean()),
        "sd": float(values[present].std()),
        "quantiles": {"p": p, "value": np.quantile(values[present], p).tolist()},
        "linear": histogram(np.linspace(low, high, 65)),
        "log": histogram(np.geomspace(max(low, 1e-4), high, 65)) if unit == "nats" else None,
        "thresholds": thresholds,
    }  # fmt: skip


def _joint(pool: Pool, x: str, y: str, kept: Any) -> dict[str, Any]:
    a, b = pool.columns[x], pool.columns[y]
    both = np.histogram2d(a, b, 48)
    mine = np.histogram2d(a[kept], b[kept], both[1:])[0]
    return {
        "x": x, "y": y, "x_scale": "linear", "y_scale": "linear",
        "x_edges": both[1].tolist(), "y_edges": both[2].tolist(),
        "pool": both[0].astype(int).tolist(), "kept": mine.astype(int).tolist(),
    }  # fmt: skip


def _correlations(pool: Pool) -> dict[str, Any]:
    filled = np.stack([np.nan_to_num(values) for values in pool.columns.values()])
    matrix = np.corrcoef(filled).round(4).tolist()
    n = len(pool)
    return {"names": list(pool.columns), "spearman": matrix, "pearson": matrix, "rows": n, "of": n}


def _sweep(subsets: int, n: int) -> dict[str, Any]:
    names = [f"grid-{i / 100}" for i in range(subsets)]
    kept = [int(n * (1 - i / 100)) for i in range(subsets)]
    return {
        "subsets": [
            {"name": name, "kept": k, "kept_share": k / n, "baseline": i == 3}
            | {"thresholds": {"image_informativeness.min": f"{0.01 * i:.3f}"}}
            | {"uids": f"../subsets/{name}/uids.npy" if i % 2 else None}
            | {"rules_yaml": f"rules:\n  all:\n    - clip_score: {{min: 0.{i}}}\n"}
            for i, (name, k) in enumerate(zip(names, kept, strict=True))
        ],
        "overlaps": [
            {"a": names[i], "b": names[j], "kept_both": kept[j], "jaccard": kept[j] / kept[i]}
            for i in range(subsets)
            for j in range(i + 1, subsets)
        ],
    }


def _shards(shards: int, n: int) -> dict[str, Any]:
    rows = [
        {"id": f"{i:05d}", "read": 10, "kept": 9 - i % 3, "dropped": 1 + i % 3, "rejected": 0}
        | {"outlier": "drop rate 40 % against 5 %" if i % 97 == 42 else None}
        for i in range(shards)
    ]
    return {"rows": rows, "total": 10 * shards, "shown": shards}
