"""See every attention call of an unmodified model, by two routes.

timm, open_clip, ``nn.MultiheadAttention`` and the Hugging Face models under "sdpa" all end in
``scaled_dot_product_attention``: while an interceptor is active it stands in for this function. VisualBERT, LXMERT,
ViLT and BLIP write the softmax out and pass the weights through a dropout module: a hook on that module sees them, and
may put others in their place. Calls of the registered modules are handed to the handler together with their site;
everything is put back on exit, also after an exception.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.capture.calls import AttentionCall
from engine.errors import CaptureError


class Handler(Protocol):
    """What is done with the attention of a site."""

    shapes: dict[str, torch.Size]
    """Size of q [B, H, s, d], or of A [B, H, s, t], of every site that was seen."""

    def __call__(self, call: AttentionCall) -> Tensor:
        """Answer a fused call: return what it would have returned, [B, H, s, d]."""
        ...

    def weights(self, site: str, attention: Tensor) -> Tensor:
        """Take in weights that a module wrote out itself, [B, H, s, t]; return those it goes on with."""
        ...


_active: ContextVar[Interceptor | None] = ContextVar("active_interceptor", default=None)


class Interceptor:
    """Context manager that hands the attention of named modules to a handler.

    Args:
        model: any module; it is not changed.
        sites: keys of the attention maps, in no particular order: the path (as in ``named_modules``) of the module that
            owns the attention, or ``path#k`` for the k-th call of a module that is called several times per forward.
        handler: sees each attention once.
        explicit: for modules that write the softmax out: their path -> path of the dropout that the weights go through.

    Raises:
        CaptureError: on leaving normally, when a site made no call or several, or when an attention was
            computed outside the sites: a silent gap would give a plausible, wrong map.
    """

    def __init__(
        self, model: nn.Module, sites: Sequence[str], handler: Handler, explicit: Mapping[str, str] | None = None
    ) -> None:
        self._sites = tuple(sites)
        self._modules = {path: model.get_submodule(path) for path in dict.fromkeys(map(path_of, sites))}
        self._dropouts = {p: model.get_submodule(d) for p, d in (explicit or {}).items() if p in self._modules}
        self._repeated = {path_of(site) for site in sites if "#" in site}
        self._handler = handler
        self._open: list[str] = []
        self.calls: Counter[str] = Counter()
        self.strays = 0
        self._stack = ExitStack()

    def __enter__(self) -> Interceptor:
        with ExitStack() as stack:
            stack.enter_context(_patch.installed())
            for path, module in self._modules.items():
                stack.enter_context(_announced(module, path, self._open))
                stack.enter_context(_routed_to_fused(module))
            for path, dropout in self._dropouts.items():
                handle = dropout.register_forward_hook(self._weights_hook(path))
                stack.callback(handle.remove)
            token = _active.set(self)
            stack.callback(_active.reset, token)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stack.close()
        if kind is None:
            self._check()

    def handle(self, *args: Any, **kwargs: Any) -> Tensor:
        """Answer one ``scaled_dot_product_attention`` call (called by the patched function)."""
        if not self._open:
            self.strays += 1
            return _patch.fused(*args, **kwargs)
        return self._handler(_as_call(self._next_site(self._open[-1]), *args, **kwargs))

    def _next_site(self, path: str) -> str:
        """The key of the call that a module makes now, and count it."""
        site = path
        if path in self._repeated:
            done = sum(n for key, n in self.calls.items() if path_of(key) == path)
            site = f"{path}#{done}"
        self.calls[site] += 1
        return site

    def _weights_hook(self, path: str) -> Callable[..., Tensor | None]:
        def see(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            if not self._open or self._open[-1] != path or _active.get() is not self:
                return None
            return self._handler.weights(self._next_site(path), output)

        return see

    def _check(self) -> None:
        missing = [site for site in self._sites if self.calls[site] == 0]
        repeated = [site for site, n in self.calls.items() if n > 1 or site not in self._sites]
        if missing:
            raise CaptureError(
                f"no attention was seen in {missing[0]!r} ({len(missing)} of {len(self._sites)} maps): "
                "the model does not compute it with scaled_dot_product_attention; the model is unchanged"
            )
        if repeated or self.strays:
            where = repr(repeated[0]) if repeated else "modules that the adapter does not know"
            raise CaptureError(
                f"more attention calls than expected, in {where}: a map would be incomplete; the model is unchanged"
            )


def path_of(site: str) -> str:
    """The module path of a site key."""
    return site.partition("#")[0]


def _as_call(
    site: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> AttentionCall:
    if enable_gqa or key.shape[1] != query.shape[1]:
        raise CaptureError(f"{site!r} shares key heads between query heads (grouped-query attention): not supported")
    if dropout_p > 0:
        raise CaptureError(f"{site!r} applies attention dropout ({dropout_p}): put the model in eval mode")
    return AttentionCall(site, query, key, value, attn_mask, is_causal, scale, _patch.fused)


class _Patch:
    """Stands in for ``F.scaled_dot_product_attention`` while anybody needs it; other threads pass straight through."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._fastpath = True
        self.fused: Callable[..., Tensor] = F.scaled_dot_product_attention

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Install for the outermost user, put the original back when the last one leaves."""
        with self._lock:
            if self._users == 0:
                self.fused = F.scaled_dot_product_attention
                self._fastpath = torch.backends.mha.get_fastpath_enabled()
                F.scaled_dot_product_attention = self.dispatch
                # nn.MultiheadAttention would otherwise run one opaque kernel that no patch can see.
                torch.backends.mha.set_fastpath_enabled(False)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    F.scaled_dot_product_attention = self.fused
                    torch.backends.mha.set_fastpath_enabled(self._fastpath)

    def dispatch(self, *args: Any, **kwargs: Any) -> Tensor:
        """Hand a call to the interceptor of this thread, if it has one."""
        interceptor = _active.get()
        return self.fused(*args, **kwargs) if interceptor is None else interceptor.handle(*args, **kwargs)


_patch = _Patch()


@contextmanager
def _announced(module: nn.Module, site: str, open_sites: list[str]) -> Iterator[None]:
    """Keep ``open_sites[-1]`` equal to the path of the module that is running."""

    def enter(*_: object) -> None:
        open_sites.append(site)

    def leave(*_: object) -> None:
        open_sites.pop()

    handles = [module.register_forward_pre_hook(enter), module.register_forward_hook(leave, always_call=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        open_sites.clear()


@contextmanager
def _routed_to_fused(module: nn.Module) -> Iterator[None]:
    """Make a module that would write out the softmax itself call ``scaled_dot_product_attention`` instead."""
    if isinstance(module, nn.MultiheadAttention):
        handle = module.register_forward_pre_hook(_without_weights, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()
    elif getattr(module, "fused_attn", True) is False:  # timm's per-module switch
        module.fused_attn = True  # type: ignore[assignment]
        try:
            yield
        finally:
            module.fused_attn = False  # type: ignore[assignment]
    else:
        yield


def _without_weights(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    # positional order of nn.MultiheadAttention.forward: query, key, value, key_padding_mask, need_weights
    if len(args) > 4:
        args = (*args[:4], False, *args[5:])
    else:
        kwargs = {**kwargs, "need_weights": False}
    return args, kwargs
