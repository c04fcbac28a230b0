"""Has a server with this folder on its PYTHONPATH run on asyncio's own event loop: the difference is what uvloop saves.

Python imports a module of this name before anything else.
"""

import asyncio

import uvloop

uvloop.run = asyncio.run  # type: ignore[assignment]
