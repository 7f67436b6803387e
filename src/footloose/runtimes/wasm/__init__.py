"""WebAssembly guests: checked (``inspect``), compiled apart (``compiler``), run in a fresh instance per request.

``runtime`` is the way in. A request is run over one of two paths that answer alike: ``capi``, thin and fast, and
``portable``, on the engine's public Python interface.
"""
