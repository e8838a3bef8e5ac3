from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

class Resampled(TypedDict):
    start: Floats
    count: NDArray[np.int64]
    min: Floats
    max: Floats
    mean: Floats
    last: Floats
    median: Floats

def rolling_median(x: ArrayLike, window: int, centered: bool = False) -> Floats: ...
def hampel(
    x: ArrayLike, window: int, n_sigmas: float = 3.0, centered: bool = False
) -> tuple[Floats, NDArray[np.bool_]]: ...
def ewma(t: ArrayLike, x: ArrayLike, tau: float) -> Floats: ...
def kalman(t: ArrayLike, x: ArrayLike, q: float, r: float) -> Floats: ...
def theil_sen(t: ArrayLike, x: ArrayLike) -> tuple[float, float]: ...
def resample(t: ArrayLike, x: ArrayLike, width: float, origin: float = 0.0) -> Resampled: ...
