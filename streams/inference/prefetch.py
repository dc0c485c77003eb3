"""Asks the processor for records before they are needed: with a million connections every one is a cache miss.

Misses overlap only if several are under way, and the loop's own order (find, read, decide, write) lets few be. Run
uncompiled this does nothing.
"""

from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

if getattr(numba.config, "DISABLE_JIT", False):

    def prefetch(array: Any, index: int, offset: int) -> None:
        """Nothing: there is no cache to warm under the interpreter."""

else:

    @intrinsic
    def prefetch(typingctx, array, index, offset):
        """Fetch the cache line at byte `offset` (int64) of ``array[index]`` for writing."""

        def codegen(context, builder, signature, arguments):
            view = context.make_array(signature.args[0])(context, builder, arguments[0])
            pointer = cgutils.get_item_pointer(
                context, builder, signature.args[0], view, [arguments[1]], wraparound=False
            )
            byte, int32 = ir.IntType(8).as_pointer(), ir.IntType(32)
            function = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(ir.VoidType(), [byte, int32, int32, int32]),
                "llvm.prefetch.p0",
            )
            place = builder.gep(builder.bitcast(pointer, byte), [arguments[2]])
            builder.call(function, [place, int32(1), int32(3), int32(1)])
            return context.get_dummy_value()

        return types.void(array, types.int64, types.int64), codegen
