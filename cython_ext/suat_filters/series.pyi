from typing import Any, Literal, NotRequired, TypedDict, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

class WithoutMedian(TypedDict):
    channel: NotRequired[NDArray[np.int64]]
    start: Floats
    count: NDArray[np.int64]
    min: Floats
    max: Floats
    mean: Floats
    last: Floats

class Resampled(WithoutMedian):
    median: Floats

def ewma(t: ArrayLike, x: ArrayLike, tau: float, threads: int = 1) -> Floats: ...
def kalman(t: ArrayLike, x: ArrayLike, q: float, r: float, threads: int = 1) -> Floats: ...
def theil_sen(t: ArrayLike, x: ArrayLike, threads: int = 1) -> tuple[Any, Any]: ...
@overload
def resample(
    t: ArrayLike, x: ArrayLike, width: float, origin: float = 0.0, threads: int = 1, *, median: Literal[True] = True
) -> Resampled: ...
@overload
def resample(
    t: ArrayLike, x: ArrayLike, width: float, origin: float = 0.0, threads: int = 1, *, median: bool
) -> WithoutMedian: ...
