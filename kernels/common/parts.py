"""Functions that kernels are made of, compiled no further than to be linked into a kernel.

Numba optimises every function by itself and makes machine code of it, then does so again for whatever calls it. For a
part of a kernel the first is thrown away; without it, kernels compile in two thirds of the time.
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class _Part(JITCodeLibrary):
    """Code that is linked into other code, and never run by itself."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerPart(NativeLowering):
    _name = "lower_part"

    def run_pass(self, state: Any) -> bool:
        state.library = _Part(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        # Numba knows the part by a built-in function for Python to call: this one raises a TypeError.
        handle = f"{state.func_id.func_qualname} is a part of a kernel, not for Python to call".__format__
        state["cr"] = state["cr"]._replace(cfunc=handle)
        state.targetctx.insert_user_function(handle, state["cr"].fndesc, [state.library])
        return True


class PartCompiler(CompilerBase):
    """Numba's own steps, but for the last."""

    def define_pipelines(self) -> list[Any]:
        steps = DefaultPassBuilder.define_nopython_pipeline(self.state)
        steps.add_pass_after(_LowerPart, NativeLowering)
        steps.passes = [step for step in steps.passes if step[0] is not NativeLowering]
        steps.finalize()
        return [steps]
