"""Areas, curves, gaps and their intervals against plain second writings; maps that cannot be tested; baselines."""

from __future__ import annotations

import json

import numpy as np
import oracles_faithfulness as oracles
import pytest
import torch

from engine.errors import EngineError, UnknownName
from engine.faithfulness import usable
from engine.faithfulness.baselines import constant_maps, random_maps
from engine.faithfulness.curves import area, areas, curve_of, difference, gap
from engine.faithfulness.protocols import PROTOCOLS, protocol_of
from engine.faithfulness.usable import counted, why_unusable
from engine.interventions.effect import interval

STEPS = (0.0, 0.25, 0.5, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)


def scores(samples=23, seed=0):
    return np.random.default_rng(seed).random((samples, len(STEPS)))


def test_area_is_that_of_the_authors():
    rows = scores()
    for row in rows:
        assert area(STEPS, row) == np.trapezoid(row, STEPS) * 100
        assert area(STEPS, row) == pytest.approx(oracles.trapezoid_area(STEPS, row), rel=1e-12)
    np.testing.assert_allclose(areas(STEPS, rows), [area(STEPS, row) for row in rows])
    vit = PROTOCOLS["vit"].steps_of("image")
    assert area(vit, np.ones(10)) == pytest.approx(90)  # x ends at 0.9 and is not stretched


@pytest.mark.parametrize("samples", [1, 2, 23])
def test_a_curve_against_resampling_row_by_row(samples):
    rows = scores(samples)
    curve = curve_of(STEPS, rows, seed=5)
    np.testing.assert_allclose(curve.values, rows.mean(axis=0))
    assert (curve.area, curve.n) == (pytest.approx(oracles.trapezoid_area(STEPS, rows.mean(axis=0))), samples)
    for step in range(len(STEPS)):
        found = curve.low[step], curve.high[step]
        assert found == pytest.approx(interval(rows[:, step], seed=5), rel=1e-9)
        assert found == pytest.approx(oracles.bootstrap(rows[:, step], np.mean, 5), rel=1e-9)
    own = oracles.bootstrap(rows, lambda some: oracles.trapezoid_area(STEPS, some.mean(axis=0)), 5)
    assert (curve.area_low, curve.area_high) == pytest.approx(own, rel=1e-9)


def test_intervals_do_not_depend_on_how_much_is_drawn_at_once(monkeypatch):
    whole = curve_of(STEPS, scores(), seed=2)
    monkeypatch.setattr("engine.faithfulness.curves.DRAWS", 200)
    parts = curve_of(STEPS, scores(), seed=2)
    np.testing.assert_allclose(parts.low, whole.low, rtol=1e-12)
    assert parts.area_high == pytest.approx(whole.area_high, rel=1e-12)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng, hits = np.random.default_rng(0), 0
    for trial in range(200):
        rows = rng.random((60, 3))
        curve = curve_of((0, 0.5, 1), rows, seed=trial)
        hits += curve.area_low <= 50 <= curve.area_high
    assert 0.88 <= hits / 200 <= 0.99


def test_the_gap_is_paired():
    rng = np.random.default_rng(1)
    level = rng.random((40, 1))  # samples differ much, the two directions little
    positive = level + rng.normal(0, 0.01, (40, len(STEPS)))
    negative = positive + 0.05
    found = gap(positive, negative, STEPS, seed=3)
    own = areas(STEPS, negative) - areas(STEPS, positive)
    assert found.mean == pytest.approx(own.mean())
    assert (found.low, found.high) == pytest.approx(oracles.bootstrap(own, np.mean, 3), rel=1e-9)
    assert 0 < found.low <= found.mean <= found.high
    assert gap(negative, positive, STEPS).high < 0
    assert difference(positive, positive, STEPS).to_json() == {"mean": 0, "low": 0, "high": 0, "n": 40}


def test_no_samples_give_nan_and_json_holds_none():
    curve = curve_of(STEPS, np.zeros((0, len(STEPS))))
    assert curve.n == 0 and np.isnan(curve.values).all() and np.isnan(curve.area)
    assert json.loads(json.dumps(curve.to_json(), allow_nan=False))["area"] is None
    assert json.dumps(gap(np.zeros((0, 9)), np.zeros((0, 9)), STEPS).to_json(), allow_nan=False)
    assert json.loads(json.dumps(curve_of(STEPS, scores()).to_json()))["steps"] == list(STEPS)


def test_curves_refuse_what_they_cannot_sum_up():
    rows = scores()
    rows[3, 2] = np.nan
    with pytest.raises(EngineError, match="1 of 23 samples have NaN"):
        curve_of(STEPS, rows)
    with pytest.raises(EngineError, match=r"\[samples, 9\]"):
        curve_of(STEPS, np.zeros((4, 8)))
    with pytest.raises(EngineError, match="rising"):
        curve_of((0, 0.5, 0.5), np.zeros((4, 3)))
    with pytest.raises(EngineError, match="same samples, not 22 and 23"):
        gap(scores(), scores(22), STEPS)


def test_why_a_map_cannot_be_tested():
    maps = torch.tensor(
        [
            [1.0, 2.0, 3.0],
            [np.nan, 2.0, 3.0],
            [np.inf, 2.0, 3.0],
            [0.0, 0.0, 0.0],
            [2.0, 2.0, 2.0],
            [1.0, 2.0, 3.0],
            [1.0, 2.0, 3.0],
            [np.nan, 2.0, 2.0],
            [5.0, 0.0, 0.0],
            [np.nan, 2.0, 3.0],
        ]
    )
    valid = torch.ones(10, 3, dtype=torch.bool)
    valid[5], valid[6] = torch.tensor([False, True, False]), False
    valid[7:, 0] = False
    expected = [None, usable.NAN, usable.INFINITE, usable.ZERO, usable.SAME, usable.ONE_TOKEN, usable.NO_TOKEN]
    expected += [usable.SAME, usable.ZERO, None]
    assert why_unusable(maps, valid) == expected
    assert why_unusable(maps.numpy(), valid.numpy()) == expected
    assert counted(expected)[usable.ZERO] == 2 and None not in counted(expected)
    assert why_unusable(maps[:5])[1:] == [usable.NAN, usable.INFINITE, usable.ZERO, usable.SAME]
    assert why_unusable(torch.zeros(2, 0)) == [usable.NO_TOKEN] * 2
    assert why_unusable(torch.zeros(0, 3)) == []
    assert counted([None]) == {}


def test_random_maps_belong_to_their_sample():
    maps = random_maps((3, 50), [4, 9, 4])
    assert torch.equal(maps[0], maps[2]) and not torch.equal(maps[0], maps[1])
    assert torch.equal(random_maps((1, 50), [9])[0], maps[1])
    assert maps.min() >= 0 and maps.max() < 1
    assert why_unusable(maps) == [None] * 3
    assert random_maps((0, 5), []).shape == (0, 5)
    with pytest.raises(EngineError, match="2 seeds for 3"):
        random_maps((3, 5), [1, 2])


def test_constant_maps_give_no_order():
    assert why_unusable(constant_maps((2, 5))) == [usable.SAME] * 2


def test_presets_have_the_steps_of_the_authors():
    tenths = [k / 10 for k in range(10)]
    assert list(PROTOCOLS["vit"].steps_of("image")) == tenths
    for name in ("lxmert", "visualbert"):
        assert PROTOCOLS[name].steps_of("text") == STEPS
    assert PROTOCOLS["lxmert"].steps_of("image") == STEPS
    assert PROTOCOLS["visualbert"].steps_of("image") == (0, 0.5, 0.75, 0.95, 0.96, 0.97, 0.98, 0.99, 1)
    assert {p.score for p in PROTOCOLS.values()} == {"accuracy", "soft_accuracy", "probability"}
    for protocol in PROTOCOLS.values():
        for modality in protocol.modalities:
            clean = protocol.clean(modality)
            taken = protocol.counts(modality, np.array([7, 50176]))[:, clean]
            assert list(taken) == ([7, 50176] if protocol.inserts else [0, 0])


@pytest.mark.parametrize("tokens", [0, 1, 2, 10, 36, 50176])
def test_presets_round_like_the_authors(tokens):
    for name, rule in (
        ("vit", lambda share: int(tokens * share)),
        ("lxmert", lambda share: tokens - int((1 - share) * tokens)),
    ):
        protocol = PROTOCOLS[name]
        expected = [rule(share) for share in protocol.steps_of("image")]
        assert protocol.counts("image", np.array([tokens]))[0].tolist() == expected


def test_unknown_protocols_and_modalities_are_named():
    assert protocol_of("vit") is PROTOCOLS["vit"] is protocol_of(PROTOCOLS["vit"])
    with pytest.raises(UnknownName, match="did you mean 'lxmert'"):
        protocol_of("lxmrt")
    with pytest.raises(EngineError, match="'vit' tests image, not 'text'"):
        PROTOCOLS["vit"].steps_of("text")
