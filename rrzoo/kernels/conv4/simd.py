"""Vectors of 16 floats in compiled functions: one channel of one pixel of the 16 views of a block."""

from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.extending import models, register_model

from rrzoo.kernels.conv4.llvm import INT, LANES, VECTOR, intrinsic, keep, multiply_add, read, repeat, write, zero


class LanesType(types.Type):
    """The type of one vector of 16 float32 in a compiled function."""

    def __init__(self) -> None:
        super().__init__("Lanes")


lanes = LanesType()
Lanes = Any  # for annotations: such values exist in compiled code only


@register_model(LanesType)
class LanesModel(models.PrimitiveModel):
    """Tells numba that it is one LLVM vector."""

    def __init__(self, manager: Any, lanes_type: LanesType) -> None:
        super().__init__(manager, lanes_type, VECTOR)


@intrinsic
def load(typing: Any, address: Any) -> Any:
    """Read 16 floats."""
    return lanes(types.int64), lambda context, builder, signature, given: read(builder, given[0], kind=VECTOR)


@intrinsic
def store(typing: Any, value: Any, address: Any) -> Any:
    """Write 16 floats."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        write(builder, *given)
        return context.get_dummy_value()

    return types.void(lanes, types.int64), generate


@intrinsic
def fill(typing: Any, scalar: Any) -> Any:
    """Return 16 times the same float."""
    return lanes(types.float32), lambda context, builder, signature, given: repeat(builder, given[0], VECTOR)


@intrinsic
def plus(typing: Any, a: Any, b: Any) -> Any:
    """Return a + b."""
    return lanes(lanes, lanes), lambda context, builder, signature, given: builder.fadd(*given)


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once."""
    return lanes(lanes, lanes, lanes), lambda context, builder, signature, given: multiply_add(builder, *given)


@intrinsic
def gate(typing: Any, value: Any, condition: Any) -> Any:
    """Return `value` where `condition` is above 0, else 0."""
    return lanes(lanes, lanes), lambda context, builder, signature, given: keep(builder, *given)


@intrinsic
def bits(typing: Any, condition: Any) -> Any:
    """Return 16 bits, one for each float: whether it is above 0."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        above = builder.fcmp_ordered(">", given[0], zero(VECTOR))
        return builder.zext(builder.bitcast(above, ir.IntType(LANES)), INT)

    return types.int64(lanes), generate


@intrinsic
def keep_bits(typing: Any, value: Any, mask: Any) -> Any:
    """Return `value` where the lowest 16 bits of `mask` are set, else 0."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        chosen = builder.bitcast(builder.trunc(given[1], ir.IntType(LANES)), ir.VectorType(ir.IntType(1), LANES))
        return builder.select(chosen, given[0], zero(VECTOR))

    return lanes(lanes, types.int64), generate
