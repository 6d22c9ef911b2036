"""Between NumPy's arrays and the columns of an Arrow table, vectors among them."""

from typing import Any

import numpy as np


def array(field: Any, values: Any, rows: int) -> Any:
    """Return values as an array of a column's type, a field of its schema; None: so many nulls."""
    import pyarrow as pa

    if values is None:
        return pa.nulls(rows, field.type)
    if not pa.types.is_fixed_size_list(field.type):
        return pa.array(values, field.type)
    numbers = np.ascontiguousarray(values, field.type.value_type.to_pandas_dtype())
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), field.type.list_size)


def values_of(column: Any) -> Any:
    """Return vectors as NumPy's array (M, D), numbers as (M,), what else there is as Arrow's."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(column.type):
        return matrix(column, column.type.list_size)
    return column.to_numpy() if pa.types.is_primitive(column.type) and not column.null_count else column


def matrix(column: Any, width: int) -> np.ndarray:
    """Return a column of vectors as an array (M, D), D = `width`."""
    chunks = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    empty = column.type.value_type.to_pandas_dtype()
    return np.concatenate(chunks).reshape(-1, width) if chunks else np.empty((0, width), empty)
