"""The contract of a gallery's backends: a new one is a row of BACKENDS.

The tests are functions that run for each row, not methods that a subclass could override; what each may leave out is in
its row, and no test skips. The oracle is brute force.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import faiss
import numpy as np
import pytest
import torch
from brute_force import BruteForce

from rrzoo import errors
from rrzoo.gallery import backends
from rrzoo.gallery.backends import Backend, Faiss, Lance, Limits, Part, faiss_index
from rrzoo.gallery.backends.protocol import Filter

DIMENSION = 16
EXACT = Limits(exact=True, largest_k=None, filters=True, columns=False, persistent=False)
KEPT = replace(EXACT, columns=True, persistent=True)


@dataclass(frozen=True)
class Contender:
    """A backend, and what it has to be able to do: a limit that it declares beyond this is a failure here."""

    new: Callable[..., Backend]  # takes the dimension, and the address of a store where it keeps what it holds in one
    limits: Limits  # once it holds 200 features
    store: str | None = None  # fixture that yields that address


BACKENDS = {
    "brute force": Contender(BruteForce, EXACT),
    "FAISS, flat": Contender(Faiss, EXACT),
    "FAISS, inverted": Contender(partial(Faiss, exact=50), replace(EXACT, exact=False)),
    "Lance, folder": Contender(Lance.at, KEPT, "lance_folder"),
    "Lance, folder, cells": Contender(partial(Lance.at, exact=50), replace(KEPT, exact=False), "lance_folder"),
    "Lance, S3": Contender(Lance.at, KEPT, "lance_bucket"),
}


@pytest.fixture(params=BACKENDS)
def contender(request: pytest.FixtureRequest) -> Contender:
    return BACKENDS[request.param]


@pytest.fixture
def new(contender: Contender, request: pytest.FixtureRequest) -> Callable[[int], Backend]:
    if contender.store is None:
        return contender.new
    return partial(contender.new, request.getfixturevalue(contender.store))


@pytest.fixture
def backend(new: Callable[[int], Backend]) -> Backend:
    return new(DIMENSION)


def unit(random: np.random.Generator, count: int) -> np.ndarray:
    features = random.standard_normal((count, DIMENSION))
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def with_many_ties(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return ids, in no order, and features: 40 of one kind, 30 of another, and 130 others."""
    features = unit(random, 200)
    features[:40], features[40:70] = features[0], features[40]
    return random.permutation(1000)[:200] * 10**9, features[random.permutation(200)]


@pytest.mark.parametrize("queries", [1, 64])  # FAISS sums otherwise from 20 queries on
@pytest.mark.parametrize("k", [1, 5, 39, 100, 200])
def test_search_is_that_of_brute_force(backend: Backend, random: np.random.Generator, queries: int, k: int) -> None:
    numbers, features = with_many_ties(random)
    oracle = BruteForce(DIMENSION)
    for one in (backend, oracle):
        assert one.add(numbers, features) == 200
    asked = np.concatenate([features[:queries], unit(random, 3)])
    (found, scores), (expected, expected_scores) = backend.search(asked, k), oracle.search(asked, k)
    assert (found.dtype, scores.dtype) == (np.int64, np.float32)
    if backend.limits.exact:
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
    assert np.mean([len(set(a) & set(b)) / k for a, b in zip(found, expected, strict=True)]) > 0.95
    is_answer(oracle, asked, found, scores, k)


def is_answer(oracle: BruteForce, queries: np.ndarray, found: np.ndarray, scores: np.ndarray, k: int) -> None:
    """Check what holds even of a search that is not exact."""
    assert found.shape == scores.shape == (len(queries), k)
    for query, ids_found, similar in zip(queries, found, scores, strict=True):
        assert len(set(ids_found.tolist())) == k  # none twice
        np.testing.assert_allclose(similar, oracle.features(ids_found) @ query, atol=1e-6)  # scores are cosines
        order = sorted(zip(-similar, ids_found, strict=True))  # highest first, ties by id
        assert [number for _, number in order] == ids_found.tolist()


def test_limits_are_what_they_have_to_be(contender: Contender, backend: Backend, random: np.random.Generator) -> None:
    backend.add(*with_many_ties(random))
    assert backend.limits == contender.limits


def test_every_backend_is_in_the_table() -> None:
    classes = {value for value in vars(backends).values() if isinstance(value, type) and hasattr(value, "features")}
    made = {one.new.func if isinstance(one.new, partial) else one.new for one in BACKENDS.values()}
    tested = {getattr(function, "__self__", function) for function in made}
    assert classes - {Backend} == tested - {BruteForce}


def test_ties_go_by_id_whatever_else_is_asked(backend: Backend, random: np.random.Generator) -> None:
    numbers, features = with_many_ties(random)
    backend.add(numbers, features)
    same = np.unique(features, axis=0, return_inverse=True)[1].ravel()  # NumPy 2.0 adds an axis
    several = np.flatnonzero(np.bincount(same)[same] > 1)
    for query in several[:3]:
        equals = np.sort(numbers[same == same[query]])
        alone, _ = backend.search(features[query : query + 1], 5)
        among, _ = backend.search(np.concatenate([features[query : query + 1], unit(random, 50)]), 5)
        assert alone[0].tolist() == among[0].tolist() == equals[:5].tolist()


def test_more_hits_than_features_and_none(backend: Backend, random: np.random.Generator) -> None:
    queries = unit(random, 2)
    assert [part.shape for part in backend.search(queries, 3)] == [(2, 0), (2, 0)]
    backend.add(ids(7, 5), unit(random, 2))
    found, _ = backend.search(queries, 3)
    assert np.sort(found, axis=1).tolist() == [[5, 7], [5, 7]]
    assert backend.search(queries[:0], 3)[0].shape == (0, 2)
    with pytest.raises(errors.ArgumentError, match="k is 0"):
        backend.search(queries, 0)
    if backend.limits.largest_k is not None:
        with pytest.raises(errors.ArgumentError, match="at most"):
            backend.search(queries, backend.limits.largest_k + 1)


def test_a_known_id_is_replaced_and_counts_come_back(backend: Backend, random: np.random.Generator) -> None:
    first, second = unit(random, 5), unit(random, 3)
    assert backend.add(ids(3, 1, 4, 10, 5), first) == 5
    assert backend.add(ids(4, 2, 1), second) == 1
    assert len(backend) == 6
    expected = np.stack([second[2], second[1], first[0], second[0], first[4], first[3]])
    np.testing.assert_array_equal(backend.features(ids(1, 2, 3, 4, 5, 10)), expected)
    assert backend.search(second[:1], 1)[0].tolist() == [[4]]
    assert backend.remove(ids(2, 99, 3)) == 2
    assert len(backend) == 4
    assert 2 not in backend.search(second[1:2], 4)[0]
    with pytest.raises(errors.ArgumentError, match="2 is not known"):
        backend.features(ids(1, 2))
    assert backend.remove(ids(1, 4, 5, 10)) == 4
    assert len(backend) == 0
    assert backend.features(ids()).shape == (0, DIMENSION)


@pytest.mark.parametrize("steps", range(3))
def test_many_changes_one_after_another(backend: Backend, random: np.random.Generator, steps: int) -> None:
    """Features come, are replaced and go; after each step the backend is what the oracle is."""
    oracle, shuffle = BruteForce(DIMENSION), np.random.default_rng(steps)
    for _ in range(12):
        numbers = shuffle.permutation(300)[: shuffle.integers(1, 120)].astype(np.int64)
        features = unit(random, len(numbers))
        assert backend.add(numbers, features) == oracle.add(numbers, features)
        gone = shuffle.permutation(300)[: shuffle.integers(0, 60)].astype(np.int64)
        assert backend.remove(gone) == oracle.remove(gone)
        assert len(backend) == len(oracle)
        every = np.array(sorted(oracle.unit), np.int64)
        np.testing.assert_array_equal(backend.features(every), oracle.features(every))
        found, scores = backend.search(features[:2], len(every) + 5)
        assert np.sort(found, axis=1).tolist() == [every.tolist()] * len(features[:2])  # each known id, once
        is_answer(oracle, features[:2], found, scores, len(every))


def test_a_search_writes_nothing(backend: Backend, random: np.random.Generator) -> None:
    features = unit(random, 9)
    backend.add(np.arange(9), features)
    given, queries = features.copy(), unit(random, 30)
    asked = queries.copy()
    before = backend.search(queries, 4)
    np.testing.assert_array_equal(backend.search(queries, 4), before)
    np.testing.assert_array_equal(queries, asked)
    np.testing.assert_array_equal(backend.features(np.arange(9)), given)
    features[:] = 0  # what the caller does with its array later is its own
    np.testing.assert_array_equal(backend.features(np.arange(9)), given)


def test_filters(backend: Backend, random: np.random.Generator) -> None:
    numbers, features = with_many_ties(random)
    backend.add(numbers, features)
    oracle = BruteForce(DIMENSION)
    oracle.add(numbers, features)
    for where in (numbers[::7], ids(1, 2), ids(), np.append(numbers[:3], 1), numbers):  # exact, whatever the limits
        for part, expected in zip(
            backend.search(features[:2], 5, where), oracle.search(features[:2], 5, where), strict=True
        ):
            np.testing.assert_allclose(part, expected, atol=1e-6)


FILTERS: dict[str, tuple[Filter, Callable[[int], bool]]] = {
    "all": (Filter(), lambda n: True),
    "labelled": (Filter(labelled=True), lambda n: n % 3 > 0),
    "a label": (Filter(label="it's 1"), lambda n: n % 3 == 1),
    "no such label": (Filter(label="1' OR 'a' = 'a"), lambda n: False),
    "newer": (Filter(newer=5 * 10**9), lambda n: n % 7 >= 5),
    "older": (Filter(older=5 * 10**9), lambda n: n % 7 < 5),
    "a folder": (Filter(prefix="holid\udcffys/1"), lambda n: n % 5 == 1),
    "several": (
        Filter(True, None, 10**9, 6 * 10**9, "holid\udcffys/2"),
        lambda n: n % 3 > 0 < n % 7 < 6 and n % 5 == 2,
    ),
}


@pytest.mark.parametrize("kind", FILTERS)
def test_filters_by_columns(contender: Contender, backend: Backend, random: np.random.Generator, kind: str) -> None:
    """They are refused, or exact: labels with quotes in them, names that are not UTF-8."""
    asked, chosen = FILTERS[kind]
    numbers, features = with_many_ties(random)
    if not contender.limits.columns:
        backend.add(numbers, features)
        with pytest.raises(errors.ArgumentError, match="a filter by columns arrived"):
            backend.search(features[:1], 1, asked)
        return
    columns = {
        "label": [f"it's {n % 3}" if n % 3 else None for n in range(200)],
        "changed": [n % 7 * 10**9 for n in range(200)],
        "source": [b"holid\xffys/%d.png" % (n % 5) for n in range(200)],
    }
    backend.add(numbers, features, columns)  # type: ignore[call-arg]
    oracle = BruteForce(DIMENSION)
    oracle.add(numbers, features)
    where = numbers[[chosen(n) for n in range(200)]]
    for part, expected in zip(
        backend.search(features[:3], 9, asked), oracle.search(features[:3], 9, where), strict=True
    ):
        np.testing.assert_allclose(part, expected, atol=1e-6)


def test_what_does_not_persist_begins_empty(new: Callable[[int], Backend], random: np.random.Generator) -> None:
    one = new(DIMENSION)
    one.add(ids(1), unit(random, 1))
    assert len(new(DIMENSION)) == (1 if one.limits.persistent else 0)


def test_a_filtered_search_is_exact_where_others_are_not(
    random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 3,000 features, 16 of 109 cells hold enough for k hits, and not all that are nearest."""
    monkeypatch.setattr(faiss_index, "PROBES", 16)
    features, numbers = unit(random, 3000), np.arange(3000)
    backend, queries = Faiss(DIMENSION, exact=50), unit(random, 40)
    backend.add(numbers, features)
    every = np.argsort(-(queries @ features.T), 1)[:, :10]
    assert not np.array_equal(backend.search(queries, 10)[0], every)
    np.testing.assert_array_equal(backend.search(queries, 10, numbers)[0], every)
    half = np.argsort(-(queries @ features[::2].T), 1)[:, :10] * 2
    np.testing.assert_array_equal(backend.search(queries, 10, numbers[::2])[0], half)


@pytest.mark.parametrize("exact", [50, 1000])
def test_parts_are_searched_as_one(random: np.random.Generator, exact: int) -> None:
    """As a gallery's segments are: some rows of each are gone, and can't be found."""
    numbers, features = with_many_ties(random)
    order = np.argsort(numbers)
    numbers, features = numbers[order], features[order]
    oracle, parts, gone = BruteForce(DIMENSION), [], np.arange(200) % 5 == 3
    oracle.add(numbers[~gone], features[~gone])
    for rows in np.split(np.arange(200), [120, 130, 131]):
        parts.append(Part(np.where(gone, -1, numbers)[rows], features[rows], exact))
    backend = Faiss(DIMENSION, parts)
    assert (len(backend), backend.limits.exact) == (160, exact == 1000)
    for k in (1, 7, 160):
        found, scores = backend.search(features[:20], k)
        is_answer(oracle, features[:20], found, scores, k)
        if backend.limits.exact or k == 160:
            np.testing.assert_array_equal(found, oracle.search(features[:20], k)[0])
    few = numbers[::3]
    np.testing.assert_array_equal(backend.search(features[:20], 9, few)[0], oracle.search(features[:20], 9, few)[0])
    np.testing.assert_array_equal(backend.features(numbers[~gone]), features[~gone])
    with pytest.raises(errors.ArgumentError, match="is not known"):
        backend.features(numbers[gone][:1])


def test_a_feature_of_nothing_is_like_nothing(backend: Backend, random: np.random.Generator) -> None:
    backend.add(ids(1, 2), np.concatenate([np.zeros((1, DIMENSION), np.float32), unit(random, 1)]))
    _, scores = backend.search(np.zeros((1, DIMENSION), np.float32), 2)
    assert scores.tolist() == [[0, 0]]


BAD = {
    "float64": lambda good: good.astype(np.float64),
    "another width": lambda good: np.ascontiguousarray(good[:, 1:]),
    "one row": lambda good: good[0],
    "not a number": lambda good: np.where(np.arange(DIMENSION) == 1, np.float32("nan"), good),
    "infinite": lambda good: np.where(np.arange(DIMENSION) == 1, np.float32("inf"), good),
    "not of unit length": lambda good: 2 * good,
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_features_change_nothing(backend: Backend, random: np.random.Generator, kind: str) -> None:
    good = unit(random, 3)
    backend.add(np.arange(3), good)
    bad = BAD[kind](unit(random, 3))
    with pytest.raises(errors.ArgumentError, match="arrived"):
        backend.add(np.arange(2, 5), bad)
    with pytest.raises(errors.ArgumentError, match="arrived"):
        backend.search(bad, 1)
    assert len(backend) == 3
    np.testing.assert_array_equal(backend.features(np.arange(3)), good)


@pytest.mark.parametrize("numbers", [ids(1, 1, 2), ids(1, 2), np.arange(3.0), ids(1, 2, 3)[:, None]])
def test_bad_ids_change_nothing(backend: Backend, random: np.random.Generator, numbers: np.ndarray) -> None:
    with pytest.raises(errors.ArgumentError, match="ids of"):
        backend.add(numbers, unit(random, 3))
    assert len(backend) == 0


def test_threads_are_left_as_they_were(random: np.random.Generator) -> None:
    backend = Faiss(DIMENSION)
    backend.add(np.arange(500), unit(random, 500))
    found: list[int] = []

    def search(threads: int) -> None:
        faiss.omp_set_num_threads(threads)
        backend.search(unit(np.random.default_rng(0), 30), 5)
        found.append(faiss.omp_get_max_threads())

    of_torch, of_faiss = torch.get_num_threads(), faiss.omp_get_max_threads()
    for threads in (3, 4):
        thread = threading.Thread(target=search, args=(threads,))
        thread.start()
        thread.join()
    try:
        search(5)
    finally:
        faiss.omp_set_num_threads(of_faiss)
    assert found == [3, 4, 5]
    assert torch.get_num_threads() == of_torch
