import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

def rolling_median(x: ArrayLike, window: int, centered: bool = False, threads: int = 1) -> Floats: ...
def hampel(
    x: ArrayLike, window: int, n_sigmas: float = 3.0, centered: bool = False, threads: int = 1
) -> tuple[Floats, NDArray[np.bool_]]: ...
