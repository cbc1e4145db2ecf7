"""Serve a model with one command: the engine, the flags and the limits that suit this machine.

Nothing here imports torch, so that it starts from the demo's environment as well as from vLLM's.
"""
