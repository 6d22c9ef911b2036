"""What the kernels write in LLVM's language, since no compiler keeps their sums in registers unaided.

They need AVX2 and FMA, and use AVX-512 where it is there. Whoever edits this file, or another that writes LLVM's
language, must touch the users, or delete their `__pycache__`: numba's cache on disk looks at the date of the calling
file alone.
"""

import inspect
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
import numba
from numba import types
from numba.core import cgutils, codegen

from rrzoo.kernels.conv4.workspace import LANES

BYTES = 4 * LANES  # of one vector

intrinsic: Any = numba.extending.intrinsic  # its type hints do not know that the first argument goes away
config: Any = numba.config
CPU = set((config.CPU_FEATURES or codegen.get_host_cpu_features()).split(","))
if not {"+avx2", "+fma"} <= CPU:
    raise ImportError("this CPU lacks AVX2 or FMA")

WIDTH = 16 if "+avx512f" in CPU else 8  # floats of one register

INT, FLOAT = ir.IntType(64), ir.FloatType()
VECTOR, REGISTER = ir.VectorType(FLOAT, LANES), ir.VectorType(FLOAT, WIDTH)


def procedure(generate: Callable[..., None]) -> Any:
    """Turn `generate`, which writes code given a builder and integers, into what compiled functions call with those."""
    count = len(inspect.signature(generate).parameters) - 1

    def typed(typing: Any, *arguments: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            generate(builder, *given)
            return context.get_dummy_value()

        return types.void(*[types.int64] * count), code

    typed.__name__, typed.__doc__ = generate.__name__, generate.__doc__
    typed.__signature__ = inspect.signature(generate)  # numba asks for it
    return intrinsic(typed)


def number(value: int) -> ir.Constant:
    """Return a constant."""
    return ir.Constant(INT, value)


def zero(kind: Any = REGISTER) -> ir.Constant:
    """Return a vector of zeros."""
    return ir.Constant(kind, [0.0] * kind.count)


def read(builder: Any, address: Any, offset: int = 0, kind: Any = REGISTER) -> Any:
    """Read what is `offset` bytes behind an address."""
    pointer = builder.inttoptr(builder.add(address, number(offset)), kind.as_pointer())
    return builder.load(pointer, align=4)


def write(builder: Any, value: Any, address: Any, offset: int = 0) -> None:
    """Write `offset` bytes behind an address."""
    pointer = builder.inttoptr(builder.add(address, number(offset)), value.type.as_pointer())
    builder.store(value, pointer, align=4)


def repeat(builder: Any, scalar: Any, kind: Any = REGISTER) -> Any:
    """Return a vector of the same float."""
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(ir.IntType(32), 0))
    return shuffle(builder, first, nothing, [0] * kind.count)


def read_repeated(builder: Any, address: Any, offset: int = 0, kind: Any = REGISTER) -> Any:
    """Return a vector of the same float, read `offset` bytes behind an address."""
    return repeat(builder, read(builder, address, offset, FLOAT), kind)


def shuffle(builder: Any, left: Any, right: Any, picks: list[int]) -> Any:
    """Return the picked elements of two vectors."""
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), len(picks)), picks))


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once."""
    kind = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{a.type.count}f32"), [a, b, c])


def keep(builder: Any, value: Any, condition: Any) -> Any:
    """Return `value` where `condition` is above 0, else 0."""
    nothing = zero(value.type)
    return builder.select(builder.fcmp_ordered(">", condition, nothing), value, nothing)


def variables(builder: Any, values: list[Any]) -> list[Any]:
    """Return variables that LLVM turns into registers."""
    made = [cgutils.alloca_once(builder, value.type) for value in values]
    for value, variable in zip(values, made, strict=True):
        builder.store(value, variable)
    return made
