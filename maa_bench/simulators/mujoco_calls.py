"""MuJoCo's C functions: called from Python, and by their addresses from compiled loops."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import mujoco
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic


@cache
def libmujoco() -> ctypes.CDLL:
    """The library that the `mujoco` wheel itself uses."""
    folder = Path(mujoco.__file__).parent
    path = next(p for pattern in ("libmujoco.so*", "libmujoco*.dylib", "mujoco.dll") for p in folder.glob(pattern))
    library = ctypes.CDLL(str(path))
    library.mj_copyData.argtypes = [ctypes.c_void_p] * 3
    library.mj_copyData.restype = ctypes.c_void_p
    library.mj_deleteData.argtypes = [ctypes.c_void_p]
    return library


def address_of(name: str) -> int:
    """Where one of its functions lies, for `call`."""
    return ctypes.cast(getattr(libmujoco(), name), ctypes.c_void_p).value or 0


def _call_signature(typing_context: Any, function: Any, words: Any) -> Any:
    """Call the C function at an address with some machine words, pointers mostly: void f(...).

    An address as an argument, unlike a ctypes function as a global, lets numba cache the compiled loop on disk.
    """
    signature = types.void(types.intp, words)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        unpacked = cgutils.unpack_tuple(builder, args[1], len(words))
        pointer = ir.FunctionType(ir.VoidType(), [word.type for word in unpacked])
        builder.call(builder.inttoptr(args[0], pointer.as_pointer()), unpacked)
        return context.get_dummy_value()

    return signature, codegen


call: Any = intrinsic(_call_signature)
