"""What scikit-learn asks of an estimator, without importing it: parameters, tags, and checks of X in its words."""

from __future__ import annotations

import inspect
import sys
from typing import Any, Self

import numpy as np
import scipy.sparse as sp


class Estimator:
    """`get_params`, `set_params`, `repr` and tags from the arguments of `__init__`, which only stores them."""

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Arguments of `__init__` and their present values; there are no nested estimators, so `deep` changes nothing."""
        del deep
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Self:
        """Change arguments by name; returns the estimator."""
        names = self._names()
        for name, value in params.items():
            if name not in names:
                raise ValueError(f"Invalid parameter {name!r} for estimator {self}. Valid parameters are: {names!r}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        values = self.get_params().items()
        changed = [f"{name}={value!r}" for name, value in values if repr(value) != repr(defaults[name].default)]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import Tags, TargetTags, TransformerTags

        return Tags(estimator_type=None, target_tags=TargetTags(required=False), transformer_tags=TransformerTags())

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")

    def _require_fitted(self) -> None:
        if self.__sklearn_is_fitted__():
            return
        message = f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate arguments first."
        # Their exception where it is loaded, so that `except NotFittedError` works; else one with the same parents.
        theirs = sys.modules.get("sklearn.exceptions")
        raise (theirs.NotFittedError if theirs else _NotFittedError)(message)

    def _read(self, x: Any, *, fitting: bool) -> np.ndarray:
        """X as a finite float array [n, d] (float32 stays), with its width noted or compared."""
        names = _column_names(x)
        x = _array(x, type(self).__name__)
        if fitting:
            self.n_features_in_ = x.shape[1]
            if names is not None:
                self.feature_names_in_ = names
            elif hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            return x
        if x.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {x.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} features as input."
            )
        return x


class _NotFittedError(ValueError, AttributeError):
    pass


def _column_names(x: Any) -> np.ndarray | None:
    columns = getattr(x, "columns", None)
    if columns is None or not all(isinstance(name, str) for name in columns):
        return None
    return np.asarray(columns, dtype=object)


def _array(x: Any, who: str) -> np.ndarray:
    if sp.issparse(x):
        raise TypeError(f"Sparse data was passed, but {who} needs dense data. Use X.toarray().")
    if not isinstance(x, np.ndarray):
        x = np.asarray(x)
    if np.iscomplexobj(x):
        raise ValueError(f"Complex data not supported\n{x}\n")
    if x.dtype not in (np.float32, np.float64):
        # 64-bit integers keep their last digits until they are shifted.
        x = x.astype(np.longdouble if x.dtype.kind in "iu" and x.dtype.itemsize == 8 else np.float64)
    if x.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {x.ndim}D array instead (shape {x.shape}). Reshape your data either using "
            "array.reshape(-1, 1) if it has a single feature or array.reshape(1, -1) if it is a single sample."
        )
    for axis, word in ((0, "sample"), (1, "feature")):
        if x.shape[axis] == 0:
            raise ValueError(f"Found array with 0 {word}(s) (shape={x.shape}) while a minimum of 1 is required.")
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        what = "NaN" if np.isnan(x).any() else "infinity"
        raise ValueError(
            f"Input X contains {what} in {np.sum(~finite)} of {len(x)} rows, first in row {np.argmin(finite)}. "
            f"{who} needs finite rows: drop or fill these."
        )
    return x
