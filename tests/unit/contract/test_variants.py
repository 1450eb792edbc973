"""Resolutions that a variant takes."""

from __future__ import annotations

import pytest

from rfdetr_contract.variants import VARIANTS


@pytest.mark.parametrize(
    ("variant", "asked", "nearest"),
    [
        ("nano", 560, 576),
        ("nano", 784, 800),
        ("base", 560, 560),
        ("base", 784, 784),
        ("seg-nano", 560, 564),
        ("large", 1, 32),
    ],
)
def test_the_guides_sizes_become_the_nearest_legal_one(variant: str, asked: int, nearest: int) -> None:
    """560 and 784 belong to the patch-14 models; other variants take the nearest multiple, the larger of two."""
    assert nearest == VARIANTS[variant].nearest(asked)


def test_each_variants_own_resolution_is_legal() -> None:
    """The defaults keep their own rule."""
    assert [] == [name for name, variant in VARIANTS.items() if variant.resolution % variant.divisor]
